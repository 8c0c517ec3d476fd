"""What the task reads of a report about a message that no task can run; anybody may imitate it."""

import pytest

from worker.broker.consumer.reports import REASONS
from worker.process.tasks import read_report


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_the_reasons_of_our_consumer_are_kept(reason: str) -> None:
    assert read_report({"reason": reason, "detail": "d", "body": "b"}).reason == reason


@pytest.mark.parametrize("reason", [None, 5, ["not_json"], {}, "made up 1", "conflict", "x" * 5000])
def test_no_sender_makes_up_a_reason(reason: object) -> None:
    """Each reason is kept up to a bound of its own: any number of them would have no bound."""
    assert read_report({"reason": reason, "body": "b"}).reason == "unexpected"
