"""
Runs the command line with a clock that is wrong: `python -m tests.survival.shifted SECONDS …`.

Both of Python's clocks of the day are moved, in our modules and in Celery's and kombu's;
the monotonic one, which nobody can set, stays.
"""

import sys
import time
from datetime import datetime, timedelta, tzinfo
from typing import Any

from worker import run  # noqa: F401 - the clocks of all modules are moved, so all must be there
from worker.cli import main

PACKAGES = ("worker", "celery", "kombu")
_real_time = time.time


class _Meta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


class Shifted(datetime, metaclass=_Meta):
    """`datetime` whose `now` is wrong."""

    by = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return datetime.now(tz) + cls.by


def shift(seconds: float) -> None:
    """Move the clocks of every module that is loaded."""
    Shifted.by = timedelta(seconds=seconds)

    def moved() -> float:
        return _real_time() + seconds

    time.time = moved
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in PACKAGES:
            for attribute, clock in list(vars(module).items()):
                if clock is datetime:
                    setattr(module, attribute, Shifted)
                elif clock is _real_time:
                    setattr(module, attribute, moved)


if __name__ == "__main__":
    shift(float(sys.argv.pop(1)))
    sys.exit(main())
