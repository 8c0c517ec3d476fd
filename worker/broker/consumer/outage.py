"""An outage of the broker, as one worker sees it: when it tries again, and what it says."""

import logging
import time
import warnings
from collections.abc import Callable
from typing import Final

from amqp.exceptions import AccessRefused, NotAllowed
from celery.exceptions import CPendingDeprecationWarning
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    NoPermissionError,
)

from worker.telemetry.log import get_logger
from worker.telemetry.sparse import Sparse

LONGEST_WAIT_SECONDS: Final = 10.0
"""A broker that is back is found within this time."""
LONGEST_WAIT_FOR_RIGHTS_SECONDS: Final = 30.0
"""One that refuses us must be set right by a person."""
STEADY_SECONDS: Final = 10.0
"""After so long without a failure the outage is over."""
STEP_SECONDS: Final = 0.5
"""How often a wait looks whether the worker is to stop."""
LOST: Final = "consumer: Connection to broker lost."
"""How Celery says so. The reason stands behind it."""
LOGGERS: Final = ("celery.worker.consumer.consumer", "celery.worker.consumer.connection")
ADVICE: Final = "run `kplus-cancel doctor`: it tries what a worker does, and names what is missing"

REFUSALS: Final = (
    NoPermissionError,
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AccessRefused,
    NotAllowed,
)

log = get_logger(__name__)


class Outage:
    """
    Counts failures until the connection has stood for a while.

    Celery has no pause where the broker answers and refuses: a wrong password, a virtual host that
    is not there, a missing right. Measured: six lines a second, for ever.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._sparse = Sparse(monotonic=monotonic)
        self._began = 0.0
        self._failed_at = 0.0
        self._pause = 0.0
        self.failures = 0

    def quiet_celery(self) -> None:
        """Let Celery say nothing of what is said here."""
        # At each lost connection, seven lines about a setting that is set.
        warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
        for name in LOGGERS:
            logging.getLogger(name).addFilter(OneVoice(self))

    def failed(self, error: BaseException, *, broker: str) -> None:
        """Count a failure, and say so if it is time to."""
        refused = isinstance(error.__cause__ or error, REFUSALS)
        now = self._monotonic()
        if not self.failures:
            self._began = now
        self.failures += 1
        self._failed_at = now
        longest = LONGEST_WAIT_FOR_RIGHTS_SECONDS if refused else LONGEST_WAIT_SECONDS
        self._pause = 0.0 if self.failures == 1 else min(longest, 2.0 ** (self.failures - 2))
        if self._sparse.is_due():
            log.warning(
                "broker_refuses" if refused else "broker_not_reached",
                broker=broker,
                reason=" ".join(str(error).split()) or type(error).__name__,
                failures=self.failures,
                again_in_seconds=self._pause,
                **({"advice": ADVICE} if refused else {}),
            )

    def wait(self, between: Callable[[], None]) -> None:
        """Wait until it is time to try again. `between` is called often, and may raise."""
        until = self._failed_at + self._pause
        between()
        while self.failures and (rest := until - self._monotonic()) > 0:
            self._sleep(min(STEP_SECONDS, rest))
            between()

    def over(self, *, failures: int) -> bool:
        """End the outage if nothing has failed since so many failures. Say how long it was."""
        if not failures or self.failures != failures:
            return False
        seconds = round(self._failed_at - self._began)
        log.info("broker_serves_again", failures=failures, after_seconds=seconds)
        self.failures = 0
        self._sparse.end()
        return True


class OneVoice(logging.Filter):
    """Keeps back what Celery says of connections during an outage: `Outage` says it, and less."""

    def __init__(self, outage: Outage) -> None:
        super().__init__()
        self._outage = outage

    def filter(self, record: logging.LogRecord) -> bool:
        """Let all else pass, and the first connection of all."""
        text = record.getMessage()
        is_kept = self._outage.failures and text.startswith("Connected to ")
        return not is_kept and not text.startswith(LOST)
