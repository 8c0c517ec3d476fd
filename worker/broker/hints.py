"""
Hints: messages that say "this job is due". A lost hint loses nothing.

Sending a hint never raises, and never takes longer than its budget: the row is already stored,
and the sweep sends the hint again.
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

PAUSE_AFTER_FAILURE_SECONDS = 5.0
"""After the broker failed, no hint is tried for so long. Each try could cost a timeout."""


class Hints:
    """Sends hints through one Celery application. Safe to share between threads."""

    def __init__(self, app: Celery, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._monotonic = monotonic
        self._paused_until = 0.0
        self.waiting = 0
        """How many messages waited in the queue at the last count."""

    def send(self, uids: Iterable[str], *, second_queue: bool = False) -> None:
        """
        Send one hint a job, until all are sent or the broker fails.

        With `second_queue` they go through the queue that workers serve in turn with the first.
        """
        if self._monotonic() < self._paused_until:
            return
        queue = HOUSEKEEPING_QUEUE if second_queue else CANCEL_QUEUE
        for uid in uids:
            if not self._send(uid, queue):
                break

    def send_within(self, uids: Iterable[str], budget: timedelta) -> None:
        """
        Send hints, and return when they are sent or the budget is spent.

        A connection attempt cannot be cancelled from inside: redis-py tries again by itself, and
        the name lookup has no timeout (both measured).
        """
        sender = threading.Thread(target=self.send, args=(uids,), daemon=True, name="kplus-hints")
        sender.start()
        sender.join(budget.total_seconds())
        if sender.is_alive():
            self._pause("the broker did not answer in time")

    def count_waiting(self) -> int:
        """Return how many messages wait in the queue, or 0 if the broker does not answer."""
        self.waiting = 0 if self._monotonic() < self._paused_until else self._length()
        return self.waiting

    def _length(self) -> int:
        try:
            pool: Any = self._app.pool  # missing in celery-types
            with pool.acquire(block=True) as connection:
                declared = connection.default_channel.queue_declare(CANCEL_QUEUE, passive=True)
                return int(declared.message_count)
        except ChannelError:
            return 0  # on Redis an empty queue does not exist
        except Exception as error:  # noqa: BLE001 - whatever it is, hints would fail too
            self._pause(f"{type(error).__name__}: {error}")
            return 0

    def _send(self, uid: str, queue: str) -> bool:
        try:
            # A second try would double the caller's wait.
            self._app.send_task(
                CANCEL_TOKEN, kwargs={"partnerTxnUid": uid}, queue=queue, retry=False
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the row is stored
            self._pause(f"{type(error).__name__}: {error}")
            return False
        return True

    def _pause(self, reason: str) -> None:
        self._paused_until = self._monotonic() + PAUSE_AFTER_FAILURE_SECONDS
        log.warning("hint_not_sent", reason=reason)
