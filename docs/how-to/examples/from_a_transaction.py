"""Cancel an order and ask for its token, both or neither: from_a_transaction.py UID TOKEN ORDER."""

import os
import sys

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from worker.enqueue import enqueue_cancel

uid, token, order = sys.argv[1:]
close = text("UPDATE orders SET status = 'cancelled' WHERE id = :order RETURNING id")

# Whatever leaves the block by an error, or by sys.exit, is rolled back: then there is no job.
with Session(create_engine(os.environ["KPLUS_DATABASE_URL"])) as session, session.begin():
    if session.scalar(close, {"order": order}) is None:
        sys.exit(f"there is no order {order}")
    receipt = enqueue_cancel(partner_txn_uid=uid, token_id=token, reference1=order, session=session)
    if receipt.status == "conflict":
        sys.exit(f"{uid} was used for another token or reference; that job stands")
