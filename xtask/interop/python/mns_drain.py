"""Drains a queue with aliyun-mns-sdk, the provider's own Python client, as its samples do: one loop, one batch after the
other: `mns_drain.py ENDPOINT QUEUE`. Prints how many messages it deleted, and the seconds until the last was."""

import sys
import time

from mns.account import Account
from mns.mns_exception import MNSServerException

endpoint, name = sys.argv[1:]
queue = Account(endpoint, "AK", "SK").get_queue(name)
queue.set_encoding(False)  # events are written as they are

begun = time.perf_counter()
messages, took = 0, 0.0
while True:
    try:
        batch = queue.batch_receive_message(16, 1)
    except MNSServerException as error:
        if error.type != "MessageNotExist":
            raise
        break
    queue.batch_delete_message([message.receipt_handle for message in batch])
    messages += len(batch)
    took = time.perf_counter() - begun

print(messages, took)
