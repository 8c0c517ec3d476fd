"""
Hints: messages that say "look at this job". Losing one changes nothing.

A hint never fails its sender and never makes it wait for longer than its budget: the
row is stored already, and the sweep hints again.
"""

import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from celery import Celery
from kombu.exceptions import ChannelError

from worker.broker.app import CANCEL_QUEUE, CANCEL_TOKEN, HOUSEKEEPING_QUEUE
from worker.telemetry.log import get_logger

log = get_logger(__name__)

QUIET = 5.0
"""Seconds without a hint after the broker failed: nobody waits for it job by job."""


class Hints:
    """Sends hints through one Celery application. Safe to share between threads."""

    def __init__(self, app: Celery, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._monotonic = monotonic
        self._quiet_until = 0.0
        self.waiting = 0
        """How many messages waited for a worker at the last look."""

    def send(self, uids: Iterable[str], *, aside: bool = False) -> None:
        """
        Send one hint a job, until all are sent or the broker fails.

        `aside` they go by the second queue, which workers serve in turn with the first.
        """
        if self._monotonic() < self._quiet_until:
            return
        queue = HOUSEKEEPING_QUEUE if aside else CANCEL_QUEUE
        for uid in uids:
            if not self._send(uid, queue):
                break

    def send_within(self, uids: Iterable[str], budget: timedelta) -> None:
        """
        Send hints, and come back when they are sent or the budget is spent.

        A connection that is being made cannot be given up from inside: redis-py tries
        again by itself, and names are looked up without a timeout (both measured).
        """
        sender = threading.Thread(target=self.send, args=(uids,), daemon=True, name="kplus-hints")
        sender.start()
        sender.join(budget.total_seconds())
        if sender.is_alive():
            self._fall_silent("the broker did not answer in time")

    def look(self) -> int:
        """Return how many messages wait for a worker; 0 where the broker does not say."""
        self.waiting = 0 if self._monotonic() < self._quiet_until else self._length()
        return self.waiting

    def _length(self) -> int:
        try:
            pool: Any = self._app.pool  # its stubs know less
            with pool.acquire(block=True) as connection:
                declared = connection.default_channel.queue_declare(CANCEL_QUEUE, passive=True)
                return int(declared.message_count)
        except ChannelError:
            return 0  # an empty queue of Redis does not exist
        except Exception as error:  # noqa: BLE001 - whatever it is, hints would fare no better
            self._fall_silent(f"{type(error).__name__}: {error}")
            return 0

    def _send(self, uid: str, queue: str) -> bool:
        try:
            # No retry here: a second try would double the wait of the caller.
            self._app.send_task(
                CANCEL_TOKEN, kwargs={"partnerTxnUid": uid}, queue=queue, retry=False
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the row is worth more
            self._fall_silent(f"{type(error).__name__}: {error}")
            return False
        return True

    def _fall_silent(self, reason: str) -> None:
        self._quiet_until = self._monotonic() + QUIET
        log.warning("hint_not_sent", reason=reason)
