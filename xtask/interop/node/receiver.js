// A receiver made of published libraries: Standard Webhooks at /standard, CloudEvents at /cloudevents. Each delivery
// that is accepted is altered by one byte and shown to the library again; it must refuse that one.
const http = require("http");
const { HTTP } = require("cloudevents");
const { Webhook } = require("standardwebhooks");

const webhook = new Webhook(process.argv[2]);
const report = { standard: [], cloudevents: [], errors: [], altered_refused: 0, altered_accepted: 0 };

function verifySignature(body, headers) {
  webhook.verify(body, headers);
  try {
    webhook.verify(body.replace("success", "succest"), headers);
    report.altered_accepted += 1;
  } catch {
    report.altered_refused += 1;
  }
}

function receive(path, headers, body) {
  verifySignature(body, headers);
  if (path === "/cloudevents") {
    const event = HTTP.toEvent({ headers, body });
    event.validate();
    report.cloudevents.push({ id: event.id, type: event.type, source: event.source, subject: event.subject, video_id: event.data.video_id });
  } else {
    const event = JSON.parse(body);
    report.standard.push({ id: headers["webhook-id"], type: event.type, video_id: event.data.video_id });
  }
}

const server = http.createServer((req, res) => {
  if (req.method === "GET") return res.end(JSON.stringify(report));
  const chunks = [];
  req.on("data", (chunk) => chunks.push(chunk));
  req.on("end", () => {
    try {
      receive(req.url, req.headers, Buffer.concat(chunks).toString("utf8"));
      res.writeHead(200).end();
    } catch (error) {
      report.errors.push(`${req.url}: ${error.name}: ${error.message}`);
      res.writeHead(400).end();
    }
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
