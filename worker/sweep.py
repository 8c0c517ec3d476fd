"""The sweep's own thread, in every worker process: no beat, no leader, safe in any number."""

import threading
from collections.abc import Callable
from typing import Any, Protocol

from celery import bootsteps

from worker.errors import StoreUnavailable
from worker.log import get_logger
from worker.reconcile import Sweep, sweep

log = get_logger(__name__)


class Sweeper:
    """Makes one pass after another until it is stopped, whether they succeed or not."""

    def __init__(
        self,
        means: Callable[[], Sweep],
        *,
        pause: float,
        before: Callable[[], None],
        after: Callable[[], None],
    ) -> None:
        self._means = means
        self._pause = pause
        self._before = before
        self._after = after
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kplus-sweep", daemon=True)

    def start(self) -> None:
        """Start the thread; the first pass is made at once."""
        self._thread.start()

    def stop(self) -> None:
        """Let the pass under way end; start no other."""
        self._stopped.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        away = False
        while not self._stopped.is_set():
            away = self._once(already_away=away)
            self._after()
            self._stopped.wait(self._pause)

    def _once(self, *, already_away: bool) -> bool:
        """Make one pass; True where the database was away. Said once, not each second."""
        try:
            self._before()
            sweep(self._means())
        except StoreUnavailable as error:
            if not already_away:
                log.warning("sweep_waits", reason=str(error))
            return True
        except Exception:
            log.exception("sweep_failed")
        if already_away:
            log.info("sweep_resumes")
        return False


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
