"""A receiver made of published libraries: Standard Webhooks at /standard and /raw, CloudEvents at /cloudevents.

Each delivery that the library accepts is altered by one byte and shown to it again; it must refuse that one.
GET /report tells what happened.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat
from standardwebhooks import Webhook, WebhookVerificationError

SECRET = sys.argv[1]
report = {"standard": [], "raw": [], "cloudevents": [], "errors": [], "altered_refused": 0, "altered_accepted": 0}


def verify_signature(body: bytes, headers: dict) -> None:
    Webhook(SECRET).verify(body, headers)
    altered = body.replace(b"success", b"succest", 1) if b"success" in body else body + b" "
    try:
        Webhook(SECRET).verify(altered, headers)
        report["altered_accepted"] += 1
    except WebhookVerificationError:
        report["altered_refused"] += 1


def receive(path: str, headers: dict, body: bytes) -> None:
    verify_signature(body, headers)
    if path == "/cloudevents":
        event = from_http_event(HTTPMessage(headers=headers, body=body), JSONFormat())
        report["cloudevents"].append({
            "id": event.get_id(), "type": event.get_type(), "source": event.get_source(),
            "subject": event.get_subject(), "video_id": event.get_data()["video_id"],
        })
    elif path == "/standard":
        event = json.loads(body)
        report["standard"].append({"id": headers["webhook-id"], "type": event["type"], "video_id": event["data"]["video_id"]})
    elif path == "/raw":
        report["raw"].append({"id": headers["webhook-id"], "video_id": json.loads(body)["VideoId"]})
    else:
        raise ValueError(f"unexpected path {path}")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            receive(self.path, headers, body)
            self.answer(200, b"")
        except Exception as error:
            report["errors"].append(f"{self.path}: {type(error).__name__}: {error}")
            self.answer(400, b"")

    def do_GET(self):
        self.answer(200, json.dumps(report).encode())

    def answer(self, status: int, body: bytes):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
