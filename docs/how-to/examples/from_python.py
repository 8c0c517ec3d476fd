"""Ask for one cancellation, row first: from_python.py UID TOKEN REFERENCE1."""

import sys

from worker.enqueue import enqueue_cancel

uid, token, reference1 = sys.argv[1:]
receipt = enqueue_cancel(partner_txn_uid=uid, token_id=token, reference1=reference1)
if receipt.status == "conflict":
    sys.exit(f"{uid} was used for another token or reference; that job stands")
print(receipt.status, receipt.state, receipt.outcome)
