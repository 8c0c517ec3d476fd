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
from worker.telemetry.sparse import Sparse

log = get_logger(__name__)

PAUSE_AFTER_FAILURE_SECONDS = 5.0
"""After the broker failed, a producer tries no hint for so long. Each could cost a timeout."""
PAUSE_OF_SWEEP_SECONDS = 1.0
"""The sweep is in nobody's way: it tries again with its next pass but one, at the latest."""


class Hints:
    """Sends hints through one Celery application. Safe to share between threads."""

    def __init__(
        self,
        app: Celery,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        pause: float = PAUSE_AFTER_FAILURE_SECONDS,
    ) -> None:
        """`pause`: seconds without a try after the broker failed."""
        self._app = app
        self._pause_seconds = pause
        self._monotonic = monotonic
        self._paused_until = 0.0
        self._sparse = Sparse(monotonic=monotonic)
        self.waiting = 0
        """How many messages waited in the queue at the last count."""

    @property
    def is_paused(self) -> bool:
        """Whether no hint is tried now, since the broker has just failed."""
        return self._monotonic() < self._paused_until

    def send(self, uids: Iterable[str], *, second_queue: bool = False) -> list[str]:
        """
        Send one hint a job, until all are sent or the broker fails; return those not sent.

        With `second_queue` they go through the queue that workers serve in turn with the first.
        """
        unsent = list(uids)
        self._send_from(unsent, HOUSEKEEPING_QUEUE if second_queue else CANCEL_QUEUE)
        return unsent

    def send_within(self, uids: Iterable[str], budget: timedelta) -> list[str]:
        """
        Send hints, and return those not sent when all are, or the budget is spent.

        A connection attempt cannot be cancelled from inside: redis-py tries again by itself, and
        the name lookup has no timeout (both measured).
        """
        unsent = list(uids)
        sender = threading.Thread(
            target=self._send_from, args=(unsent, CANCEL_QUEUE), daemon=True, name="kplus-hints"
        )
        sender.start()
        sender.join(budget.total_seconds())
        if sender.is_alive():
            self._pause("the broker did not answer in time")
        return list(unsent)

    def _send_from(self, unsent: list[str], queue: str) -> None:
        """Send the first of these until none is left; one whose sending failed stays."""
        while unsent and not self.is_paused and self._send(unsent[0], queue):
            del unsent[0]

    def count_waiting(self) -> int:
        """Return how many messages wait in the queue, or 0 if the broker does not answer."""
        self.waiting = 0 if self.is_paused else self._length()
        return self.waiting

    def _length(self) -> int:
        try:
            pool: Any = self._app.pool  # missing in celery-types
            with pool.acquire(block=True) as connection:
                declared = connection.default_channel.queue_declare(CANCEL_QUEUE, passive=True)
                self._sparse.end()
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
        self._sparse.end()
        return True

    def _pause(self, reason: str) -> None:
        self._paused_until = self._monotonic() + self._pause_seconds
        if self._sparse.is_due():
            log.warning("hint_not_sent", reason=reason)
