"""Ask for many cancellations: from_a_list.py < orders.jsonl; told is what did not become a job."""

import json
import sys

from worker.enqueue import enqueue_many

for receipt in enqueue_many(map(json.loads, sys.stdin)):
    if receipt.status in {"conflict", "invalid"}:
        print(receipt.partner_txn_uid, receipt.status, receipt.reason)
