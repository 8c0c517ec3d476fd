"""Threads of a worker's own that make one round after another: no beat, no leader."""

import threading
from collections.abc import Callable
from typing import Any, Protocol

from celery import bootsteps

from worker.errors import StoreUnavailable
from worker.telemetry.log import get_logger

log = get_logger(__name__)


class Loop:
    """Makes one round after another until it is stopped, whether they succeed or not."""

    def __init__(
        self,
        name: str,
        make: Callable[[], bool],
        *,
        pause: float,
        after: Callable[[], None] = lambda: None,
        farewell: float = 10,
    ) -> None:
        """`make` says whether to go on without a pause; `farewell` bounds a stop, in seconds."""
        self._waits, self._failed, self._resumes = (
            f"{name}_{what}" for what in ("waits", "failed", "resumes")
        )
        self._make = make
        self._pause = pause
        self._after = after
        self._farewell = farewell
        self._away = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"kplus-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread; the first round is made at once."""
        self._thread.start()

    def stop(self) -> None:
        """Let the round under way end; start no other."""
        self._stopped.set()
        self._thread.join(timeout=self._farewell)

    def _run(self) -> None:
        while not self._stopped.is_set():
            goes_on = self._once()
            self._after()
            if not goes_on:
                self._stopped.wait(self._pause)

    def _once(self) -> bool:
        """Make one round. That the database is away is said once, not each second."""
        goes_on = False
        try:
            goes_on = self._make()
        except StoreUnavailable as error:
            if not self._away:
                log.warning(self._waits, reason=str(error))
            self._away = True
            return False
        except Exception:
            log.exception(self._failed)
        if self._away:
            log.info(self._resumes)
        self._away = False
        return goes_on


class Thread(Protocol):
    """What a worker starts after its pool, and stops before it."""

    def start(self) -> None:
        """Start it."""

    def stop(self) -> None:
        """Stop it."""


def step(name: str, make: Callable[[], Thread]) -> type[bootsteps.StartStopStep]:
    """Return a worker step that runs a thread from the pool's start to the worker's stop."""

    class Step(bootsteps.StartStopStep):
        """Starts after the pool: a thread that runs during a fork may hold any lock."""

        requires = ("celery.worker.components:Pool",)

        def __init__(self, parent: Any, **kwargs: Any) -> None:
            super().__init__(parent, **kwargs)
            self.obj = None

        def create(self, parent: Any) -> Any:
            """Return what is started and stopped with the worker."""
            del parent
            return make()

    Step.name = name
    return Step
