"""
Runs the command line with a clock that is wrong: `python -m tests.survival.shifted SECONDS …`.

Instead of the seconds a file may be named that holds them: the clock jumps as it is written.
Both of Python's clocks of the day are moved, in our modules and in Celery's and kombu's;
the monotonic one, which nobody can set, stays.
"""

import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from worker.cli import main
from worker.process import run  # noqa: F401 - the clocks of all modules are moved, so all must be there

PACKAGES = ("worker", "celery", "kombu")
_real_time = time.time


class _Meta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


class Shifted(datetime, metaclass=_Meta):
    """`datetime` whose `now` is wrong."""

    seconds: Callable[[], float] = staticmethod(lambda: 0.0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return datetime.now(tz) + timedelta(seconds=cls.seconds())


def shift(seconds: Callable[[], float]) -> None:
    """Move the clocks of every module that is loaded, by what is said whenever one is read."""
    Shifted.seconds = staticmethod(seconds)

    def moved() -> float:
        return _real_time() + seconds()

    time.time = moved
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in PACKAGES:
            for attribute, clock in list(vars(module).items()):
                if clock is datetime:
                    setattr(module, attribute, Shifted)
                elif clock is _real_time:
                    setattr(module, attribute, moved)


def told(word: str) -> Callable[[], float]:
    """Return what says by how much: the seconds themselves, or the file that holds them."""
    path = Path(word)
    if not path.is_absolute():
        return lambda: float(word)
    return lambda: float(path.read_text(encoding="ascii"))


if __name__ == "__main__":
    shift(told(sys.argv.pop(1)))
    sys.exit(main())
