"""Ask for one cancellation with Celery alone: from_celery.py UID TOKEN REFERENCE1."""

import os
import sys

from celery import Celery

app = Celery(broker=os.environ["KPLUS_BROKER_URL"])
# RabbitMQ would be asked for a classic queue otherwise, and refuse. Redis does not mind.
app.conf.task_create_missing_queue_type = "quorum"

uid, token, reference1 = sys.argv[1:]
app.send_task(
    "kplus.cancel_token",
    kwargs={"partnerTxnUid": uid, "tokenId": token, "reference1": reference1},
    queue="kplus.cancel",
)
