// Drains a queue with @alicloud/mns, the provider's own Node client, as its examples call it: one batch awaited after the
// other: `mns_drain.js ENDPOINT QUEUE`. Prints how many messages it deleted, and the seconds until the last was.
const { default: MNS = require("@alicloud/mns") } = require("@alicloud/mns");

const [endpoint, queue] = process.argv.slice(2);
const mns = new MNS("1234567890", { accessKeyId: "AK", accessKeySecret: "SK", endpoint });

/** The next messages; none when the queue stays empty. */
async function receive() {
  try {
    return (await mns.batchReceiveMessage(queue, 16, 1)).body;
  } catch (error) {
    if (error.name !== "MNSMessageNotExistError") throw error;
    return [];
  }
}

async function main() {
  const begun = performance.now();
  let [messages, took] = [0, 0];
  for (let batch = await receive(); batch.length > 0; batch = await receive()) {
    const { code, body } = await mns.batchDeleteMessage(queue, batch.map((message) => message.ReceiptHandle));
    if (code !== 204) throw new Error(`not all were deleted: ${JSON.stringify(body)}`);
    messages += batch.length;
    took = (performance.now() - begun) / 1000;
  }
  console.log(`${messages} ${took}`);
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
