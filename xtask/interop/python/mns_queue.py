"""The queue life cycle of aliyun-mns-sdk, the provider's own Python client, against the emulator: `mns_queue.py ENDPOINT`."""

import json
import sys
import urllib.request

from mns.account import Account
from mns.message_property import MessagePropertyValue
from mns.mns_exception import MNSExceptionBase
from mns.queue import Message, QueueMeta

ENDPOINT = sys.argv[1]
steps = 0


def check(what, expected):
    global steps
    steps += 1
    assert what == expected, f"step {steps}: {what!r} is not {expected!r}"


def fails(kind, call):
    """The call fails with this code, and the error has the id of the request."""
    global steps
    steps += 1
    try:
        call()
    except MNSExceptionBase as error:
        assert error.type == kind, f"step {steps}: {error} is not {kind}"
        return error
    raise AssertionError(f"step {steps}: no {kind}")


def control(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    urllib.request.urlopen(urllib.request.Request(f"{ENDPOINT}/_emulator/{path}", data, method=method)).read()


def account(secret="SK"):
    return Account(ENDPOINT, "AK", secret)


queue = account().get_queue("python")

# Queues: created, there already, there with other attributes, described, changed, listed.
meta = QueueMeta()
meta.set_visibilitytimeout(30)
check(queue.create(meta), f"{ENDPOINT}/queues/python")
check(queue.create(meta), f"{ENDPOINT}/queues/python")
other = QueueMeta()
other.set_visibilitytimeout(60)
fails("QueueAlreadyExist", lambda: queue.create(other))
other.set_visibilitytimeout(25)
queue.set_attributes(other)
attributes = queue.get_attributes()
check((attributes.visibility_timeout, attributes.message_retention_period), (25, 345600))
check((attributes.queue_name, attributes.delay_seconds, attributes.logging_enabled), ("python", 0, False))
urls, marker = account().list_queue("pyth", 10)
check((urls, marker), ([f"{ENDPOINT}/queues/python"], ""))

# Single messages, in Base64 and raw, with a delay and properties.
fails("MessageNotExist", queue.receive_message)
sent = queue.send_message(Message('hello <世界> & "x"'))
check(sent.message_body_md5, "313D962C3B40A7EC37DC5CDF7A75FF2E")
peeked = queue.peek_message()
check((peeked.message_body.decode(), peeked.dequeue_count), ('hello <世界> & "x"', 0))
received = queue.receive_message(1)
check((received.message_body.decode(), received.message_id, received.dequeue_count), ('hello <世界> & "x"', sent.message_id, 1))
check((received.message_body_md5, received.priority), (sent.message_body_md5, 8))
check(received.next_visible_time - received.first_dequeue_time, 25000)
changed = queue.change_message_visibility(received.receipt_handle, 40)
fails("MessageNotExist", lambda: queue.delete_message(received.receipt_handle))
fails("ReceiptHandleError", lambda: queue.delete_message("bogus"))
queue.delete_message(changed.receipt_handle)
fails("MessageNotExist", lambda: queue.delete_message(changed.receipt_handle))

delayed = queue.send_message(Message("later", delay_seconds=5, priority=1))
fails("MessageNotExist", lambda: queue.receive_message(0))
control("POST", "clock?advance_ms=5000")
later = queue.receive_message()
check((later.message_body, later.priority), (b"later", 1))
queue.delete_message(later.receipt_handle)

queue.set_encoding(False)
message = Message("raw & <xml>")
message.add_user_property("k", MessagePropertyValue.create_string("v"))
queue.send_message(message)
raw = queue.receive_message()
check((raw.message_body, raw.get_user_properties()["k"].get_raw_value()), ("raw & <xml>", "v"))
queue.delete_message(raw.receipt_handle)
queue.set_encoding(True)

# Batches, whole and in part.
sent = queue.batch_send_message([Message(f"b{number}") for number in range(16)])
check(len(sent), 16)
check(len(queue.batch_peek_message(4)), 4)
received = queue.batch_receive_message(16, 1)
check([message.message_body for message in received], [f"b{number}".encode() for number in range(16)])
handles = [message.receipt_handle for message in received]
error = fails("ReceiptHandleError", lambda: queue.batch_delete_message([handles[0], "bogus"]))
check([failed["ReceiptHandle"] for failed in error.sub_errors], ["bogus"])
queue.batch_delete_message(handles[1:])
control("PUT", "faults", [{"fault": "partial_batch", "times": 1}])
error = fails("InternalError", lambda: queue.batch_send_message([Message("ok"), Message("fails")]))
check(["MessageId" in entry for entry in error.sub_errors], [False, True])
queue.delete_message(queue.receive_message().receipt_handle)

# An empty long poll, and what goes wrong.
fails("MessageNotExist", lambda: queue.receive_message(1))
fails("QueueNotExist", account().get_queue("nope").receive_message)
fails("SignatureDoesNotMatch", account(secret="wrong").get_queue("python").receive_message)
control("PUT", "faults", [{"fault": "throttle", "times": 1}])
fails("TooManyRequests", queue.receive_message)
queue.delete()
queue.delete()
fails("QueueNotExist", queue.get_attributes)

print(f"{steps} steps")
