// The queue life cycle of ali-mns, the community's Node client, against the emulator: `HTTP_PROXY=ENDPOINT mns_ali.js
// ENDPOINT`. It knows no other hosts than the provider's, so it is led to the emulator as to a proxy.
const assert = require("assert");
const { Account, MNS, MQ, MQBatch, Msg } = require("ali-mns");

const endpoint = process.argv[2];
const HOST = "http://1234567890.mns.cn-hangzhou.aliyuncs.com";
let steps = 0;

function check(what, expected) {
  steps += 1;
  assert.deepStrictEqual(what, expected, `step ${steps}`);
}

async function fails(code, promise) {
  steps += 1;
  await assert.rejects(promise, (answer) => answer.Error.Code === code, `step ${steps}`);
}

async function control(method, path, body) {
  const response = await fetch(`${endpoint}/_emulator/${path}`, { method, body: body && JSON.stringify(body) });
  assert.ok(response.ok, path);
}

function account(secret) {
  const made = new Account("1234567890", "AK", secret);
  made.setGA(false); // it would report every call to a statistics service
  return made;
}

async function main() {
  const mns = new MNS(account("SK"), "hangzhou");
  const queue = new MQBatch("ali", account("SK"), "hangzhou");
  // A batch queue tells nothing of the deletion of a single message.
  const single = new MQ("ali", account("SK"), "hangzhou");

  // Queues: created, there already, there with other attributes, described, changed, listed.
  check(await mns.createP("ali", { VisibilityTimeout: 30 }), 201);
  check(await mns.createP("ali", { VisibilityTimeout: 30 }), 204);
  await fails("QueueAlreadyExist", mns.createP("ali", { VisibilityTimeout: 60 }));
  check(await queue.setAttrsP({ VisibilityTimeout: 25 }), 204);
  const { Queue: attributes } = await queue.getAttrsP();
  check([attributes.QueueName, attributes.VisibilityTimeout], ["ali", "25"]);
  check((await mns.listP("ali", 10)).Queues.Queue.QueueURL, `${HOST}/queues/ali`);

  // Single messages, always in Base64.
  await fails("MessageNotExist", queue.recvP(0, 1));
  const { Message: sent } = await queue.sendP("hello 世界 & <x>", 8, 0);
  check((await queue.peekP(1)).Message.MessageBody, "hello 世界 & <x>");
  const { Message: received } = await queue.recvP(2, 1);
  check([received.MessageBody, received.MessageId, received.DequeueCount], ["hello 世界 & <x>", sent.MessageId, "1"]);
  const { ChangeVisibility: changed } = await queue.reserveP(received.ReceiptHandle, 40);
  await fails("MessageNotExist", single.deleteP(received.ReceiptHandle));
  await fails("ReceiptHandleError", single.deleteP("bogus"));
  check(await single.deleteP(changed.ReceiptHandle), 204);

  // Batches, whole and in part.
  const bodies = Array.from({ length: 16 }, (_, number) => `m${number}`);
  const batch = await queue.sendP(bodies.map((body) => new Msg(body, 8, 0)));
  check(batch.Messages.Message.length, 16);
  const { Messages: { Message: messages } } = await queue.recvP(2, 16);
  check(messages.map((message) => message.MessageBody), bodies);
  const handles = messages.map((message) => message.ReceiptHandle);
  steps += 1;
  await assert.rejects(
    queue.deleteP([handles[0], "bogus"]),
    (answer) => answer.Errors.Error.ErrorCode === "ReceiptHandleError" && answer.Errors.Error.ReceiptHandle === "bogus",
  );
  check(await queue.deleteP(handles.slice(1)), 204);
  await control("PUT", "faults", [{ fault: "partial_batch", times: 1 }]);
  steps += 1;
  await assert.rejects(
    queue.sendP([new Msg("fails"), new Msg("ok")]),
    (answer) => answer.Messages.Message.map((entry) => entry.ErrorCode).join() === "InternalError,",
  );
  check(await single.deleteP((await queue.recvP(0, 1)).Message.ReceiptHandle), 204);

  // An empty long poll, and what goes wrong.
  await fails("MessageNotExist", queue.recvP(1, 16));
  await fails("QueueNotExist", new MQBatch("nope", account("SK"), "hangzhou").recvP(0, 1));
  await fails("SignatureDoesNotMatch", new MQBatch("ali", account("wrong"), "hangzhou").recvP(0, 1));
  await control("PUT", "faults", [{ fault: "throttle", times: 1 }]);
  await fails("TooManyRequests", queue.recvP(0, 1));
  check(await mns.deleteP("ali"), 204);
  await fails("QueueNotExist", queue.getAttrsP());

  console.log(`${steps} steps`);
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
