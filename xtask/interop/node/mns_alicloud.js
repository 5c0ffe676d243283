// The queue life cycle of @alicloud/mns, the provider's own Node client, against the emulator: `mns_alicloud.js ENDPOINT`.
const assert = require("assert");
const { default: MNS = require("@alicloud/mns") } = require("@alicloud/mns");

const endpoint = process.argv[2];
let steps = 0;

function check(what, expected) {
  steps += 1;
  assert.deepStrictEqual(what, expected, `step ${steps}`);
}

async function fails(code, promise) {
  steps += 1;
  await assert.rejects(promise, { name: `MNS${code}Error` }, `step ${steps}`);
}

async function control(method, path, body) {
  const response = await fetch(`${endpoint}/_emulator/${path}`, { method, body: body && JSON.stringify(body) });
  assert.ok(response.ok, path);
}

const client = (accessKeySecret) => new MNS("1234567890", { accessKeyId: "AK", accessKeySecret, endpoint });

async function main() {
  const mns = client("SK");

  // Queues: created, there already, there with other attributes, described, changed, listed.
  const created = await mns.createQueue("alicloud", { VisibilityTimeout: 30 });
  check([created.code, created.headers.location], [201, `${endpoint}/queues/alicloud`]);
  check((await mns.createQueue("alicloud", { VisibilityTimeout: 30 })).code, 204);
  await fails("QueueAlreadyExist", mns.createQueue("alicloud", { VisibilityTimeout: 60 }));
  check((await mns.setQueueAttributes("alicloud", { VisibilityTimeout: 25 })).code, 204);
  const { body: attributes } = await mns.getQueueAttributes("alicloud");
  check([attributes.QueueName, attributes.VisibilityTimeout, attributes.LoggingEnabled], ["alicloud", "25", "False"]);
  const { body: queues } = await mns.listQueue("", 10, "ali");
  check(queues.map((queue) => queue.QueueURL), [`${endpoint}/queues/alicloud`]);

  // Single messages.
  await fails("MessageNotExist", mns.receiveMessage("alicloud", 0));
  const { code, body: sent } = await mns.sendMessage("alicloud", { MessageBody: "hello" });
  check([code, sent.MessageBodyMD5], [201, "5D41402ABC4B2A76B9719D911017C592"]);
  await fails("MalformedXML", mns.sendMessage("alicloud", { MessageBody: "a & b" }));
  await fails("InvalidArgument", mns.sendMessage("alicloud", { MessageBody: "a", Priority: 0 }));
  check((await mns.peekMessage("alicloud")).body.DequeueCount, "0");
  const { body: received } = await mns.receiveMessage("alicloud", 1);
  check([received.MessageBody, received.DequeueCount, received.MessageId], ["hello", "1", sent.MessageId]);
  const { body: changed } = await mns.changeMessageVisibility("alicloud", received.ReceiptHandle, 40);
  await fails("MessageNotExist", mns.deleteMessage("alicloud", received.ReceiptHandle));
  await fails("ReceiptHandleError", mns.deleteMessage("alicloud", "bogus"));
  check((await mns.deleteMessage("alicloud", changed.ReceiptHandle)).code, 204);

  // Batches, whole and in part.
  const bodies = Array.from({ length: 16 }, (_, number) => `m${number}`);
  const { body: batch } = await mns.batchSendMessage("alicloud", bodies.map((MessageBody) => ({ MessageBody })));
  check(batch.length, 16);
  check((await mns.batchPeekMessage("alicloud", 4)).body.length, 4);
  const { body: messages } = await mns.batchReceiveMessage("alicloud", 16, 1);
  check(messages.map((message) => message.MessageBody), bodies);
  const handles = messages.map((message) => message.ReceiptHandle);
  const partly = await mns.batchDeleteMessage("alicloud", [handles[0], "bogus"]);
  check([partly.code, partly.body.map((entry) => entry.ErrorCode)], [404, ["ReceiptHandleError"]]);
  check((await mns.batchDeleteMessage("alicloud", handles.slice(1))).code, 204);
  await control("PUT", "faults", [{ fault: "partial_batch", times: 1 }]);
  const failed = await mns.batchSendMessage("alicloud", [{ MessageBody: "fails" }, { MessageBody: "ok" }]);
  check([failed.code, failed.body.map((entry) => entry.ErrorCode)], [500, ["InternalError", undefined]]);
  check((await mns.deleteMessage("alicloud", (await mns.receiveMessage("alicloud")).body.ReceiptHandle)).code, 204);

  // An empty long poll, and what goes wrong.
  await fails("MessageNotExist", mns.receiveMessage("alicloud", 1));
  await fails("QueueNotExist", mns.receiveMessage("nope"));
  await fails("SignatureDoesNotMatch", client("wrong").receiveMessage("alicloud"));
  await control("PUT", "faults", [{ fault: "throttle", times: 1 }]);
  await fails("TooManyRequests", mns.receiveMessage("alicloud"));
  check((await mns.deleteQueue("alicloud")).code, 204);
  await fails("QueueNotExist", mns.getQueueAttributes("alicloud"));

  console.log(`${steps} steps`);
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
