"""The threads of a worker that run a job in rounds. They need no Celery beat and no leader."""

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from celery import bootsteps

from worker.errors import StoreUnavailable, StoreUnreachable
from worker.process.liveness import Failure
from worker.store import is_locked
from worker.telemetry.log import get_logger

log = get_logger(__name__)

SAY_AGAIN_SECONDS = 30.0
"""So often it is said again that rounds fail: silence would be taken for health."""


class Loop:
    """Runs one round after another until it is stopped. A failed round does not end it."""

    def __init__(
        self,
        name: str,
        run_round: Callable[[], None],
        *,
        pause: Callable[[], float],
        after: Callable[[Failure | None], None] = lambda _: None,
        stop_timeout: float = 10,
    ) -> None:
        """
        Prepare the thread; `start` starts it.

        `after` runs after each round, and is told why it failed; then `pause` says how long the
        next one waits. `stop_timeout` bounds a stop. Both times are in seconds.
        """
        self._waits, self._failed, self._resumes = (
            f"{name}_{what}" for what in ("waits", "failed", "resumes")
        )
        self._run_round = run_round
        self._pause = pause
        self._after = after
        self._stop_timeout = stop_timeout
        self._failing_since: float | None = None
        self._said_at = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"kplus-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread. The first round begins at once."""
        self._thread.start()

    def stop(self) -> None:
        """Start no other round, and wait for the one under way."""
        self._stopped.set()
        self._thread.join(timeout=self._stop_timeout)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._after(self._try_round())
            self._stopped.wait(self._pause())

    def _try_round(self) -> Failure | None:
        """Run one round. What makes all of them fail is logged now and then, not every second."""
        try:
            self._run_round()
        except StoreUnavailable as error:
            if self._is_to_be_said():
                log.warning(self._waits, reason=str(error), seconds=self._failing_seconds())
            is_outside = isinstance(error, StoreUnreachable) or is_locked(error)
            return Failure(str(error), restart_may_help=not is_outside)
        except Exception as error:
            if self._is_to_be_said():
                log.exception(self._failed, seconds=self._failing_seconds())
            return Failure(f"{type(error).__name__}; the log has the rest")
        if self._failing_since is not None:
            log.info(self._resumes, seconds=self._failing_seconds())
        self._failing_since = None
        return None

    def _is_to_be_said(self) -> bool:
        now = time.monotonic()
        is_new = self._failing_since is None
        if self._failing_since is None:
            self._failing_since = now
        if not is_new and now - self._said_at < SAY_AGAIN_SECONDS:
            return False
        self._said_at = now
        return True

    def _failing_seconds(self) -> int:
        return round(time.monotonic() - (self._failing_since or time.monotonic()))


class Thread(Protocol):
    """A thread that a worker starts after its pool, and stops before it."""

    def start(self) -> None:
        """Start it."""

    def stop(self) -> None:
        """Stop it."""


def step(name: str, make: Callable[[], Thread]) -> type[bootsteps.StartStopStep]:
    """Return a step of Celery's worker that runs a thread until the worker stops."""

    class Step(bootsteps.StartStopStep):
        """Starts after the pool: a fork would copy the locks of a running thread."""

        requires = ("celery.worker.components:Pool",)

        def __init__(self, parent: Any, **kwargs: Any) -> None:
            super().__init__(parent, **kwargs)
            self.obj = None

        def create(self, parent: Any) -> Any:
            """Return what the worker starts and stops."""
            del parent
            return make()

    Step.name = name
    return Step
