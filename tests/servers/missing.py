"""Tests whose server or language cannot be had: skipped loudly, or failed on request."""

import os
from collections.abc import Iterable
from typing import Any, NoReturn

import pytest

REQUIRE = "KPLUS_TEST_REQUIRE_SERVERS"
_MARK = "not at hand: "


def unavailable(what: str, reason: object, *, installable: bool = True) -> NoReturn:
    """
    Skip the test, and say at the end of the run what was not run and why.

    What no wheel brings is not `installable`: nobody can be made to have it.
    """
    text = f"{_MARK}{what}: {reason}"
    if installable and os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{text} ({REQUIRE}=1)", pytrace=False)
    pytest.skip(text)


def counted(reports: Iterable[Any]) -> dict[str, int]:
    """Return the reasons found in reports of skipped tests, with the number of tests each cost."""
    found: dict[str, int] = {}
    for report in reports:
        told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _, mark, reason = told.partition(_MARK)
        if mark:
            found[reason] = found.get(reason, 0) + 1
    return found
