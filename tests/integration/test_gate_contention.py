"""A partner's rate holds, however many callers come to its gate at the same moment."""

from typing import Final

import pytest

from tests.integration.conftest import OpenStore
from tests.servers.rush import CALLERS, slots_of_a_rush
from worker.sandbox.journal import busiest_second

SECONDS: Final = 2.0


@pytest.mark.parametrize("rate", [5, 50])
def test_the_gate_keeps_a_rate_under_contention(open_store: OpenStore, rate: int) -> None:
    """A statement that began earlier and came to the row later took the slots of the others."""
    database = open_store(connections=CALLERS).database
    slots = slots_of_a_rush(database, rate=rate, seconds=SECONDS)
    assert busiest_second(slots) <= rate + 1
    assert len(slots) >= SECONDS
