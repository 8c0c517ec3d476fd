"""Waiting for what must happen: one limit for all tests, and no sleeping for a guess."""

import inspect
import os
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

Found = TypeVar("Found")

SETTING: Final = "KPLUS_TEST_PATIENCE"
"""How many times the usual limit the tests wait: more than 1 on a machine that is very slow."""
FACTOR: Final = float(os.environ.get(SETTING, "1"))
LIMIT: Final = 120.0 * FACTOR
"""
Seconds for anything that must happen; what happens sooner is not waited for any longer.

It says nothing about how fast the product is. It only ends a test that waits in vain.
"""
_PAUSE: Final = 0.02


def eventually(
    check: Callable[[], Found], *, within: float = LIMIT, saying: Callable[[], str] | str = ""
) -> Found:
    """
    Return what `check` returns once that is true; an AssertionError in it counts as not yet.

    In vain, it fails with the check's source, its last value or its last complaint, and
    what `saying` says.
    """
    until = time.monotonic() + within
    while True:
        complaint: AssertionError | None = None
        found: Found | None = None
        try:
            if found := check():
                return found
        except AssertionError as error:
            complaint = error
        if time.monotonic() > until:
            raise AssertionError(_in_vain(check, within, found, saying)) from complaint
        time.sleep(_PAUSE)


def joined(*threads: threading.Thread) -> None:
    """Return when all these threads have ended; fail where one does not."""
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), f"{thread.name} did not end within {LIMIT:g} s"


def _in_vain(
    check: Callable[[], object], within: float, found: object, saying: Callable[[], str] | str
) -> str:
    try:
        source = inspect.getsource(check).strip()
    except (OSError, TypeError):
        source = repr(check)
    told = saying() if callable(saying) else saying
    lines = [f"not within {within:g} s:", source, f"last value: {found!r}", told]
    return "\n".join(line for line in lines if line)
