"""The threads of a worker that run a job in rounds. They need no Celery beat and no leader."""

import threading
from collections.abc import Callable
from typing import Any, Protocol

from celery import bootsteps

from worker.errors import StoreUnavailable
from worker.telemetry.log import get_logger

log = get_logger(__name__)


class Loop:
    """Runs one round after another until it is stopped. A failed round does not end it."""

    def __init__(
        self,
        name: str,
        run_round: Callable[[], None],
        *,
        pause: Callable[[], float],
        after: Callable[[], None] = lambda: None,
        stop_timeout: float = 10,
    ) -> None:
        """
        Prepare the thread; `start` starts it.

        `after` runs after each round, then `pause` says how long the next one waits.
        `stop_timeout` bounds a stop. Both times are in seconds.
        """
        self._waits, self._failed, self._resumes = (
            f"{name}_{what}" for what in ("waits", "failed", "resumes")
        )
        self._run_round = run_round
        self._pause = pause
        self._after = after
        self._stop_timeout = stop_timeout
        self._is_unavailable = False
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
            self._try_round()
            self._after()
            self._stopped.wait(self._pause())

    def _try_round(self) -> None:
        """Run one round. An outage of the database is logged once, not every second."""
        try:
            self._run_round()
        except StoreUnavailable as error:
            if not self._is_unavailable:
                log.warning(self._waits, reason=str(error))
            self._is_unavailable = True
            return
        except Exception:
            log.exception(self._failed)
        if self._is_unavailable:
            log.info(self._resumes)
        self._is_unavailable = False


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
