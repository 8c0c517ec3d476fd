"""When a call may begin: proof, first calls, slots. The SQL twin is compared in integration."""

from datetime import UTC, datetime, timedelta

import pytest

from worker.domain.gate import (
    AHEAD,
    HEADROOM,
    LATE,
    PROOF_LASTS,
    first_calls,
    free_slots,
    is_cooling,
    is_probing,
    is_proven,
    next_slot,
    spacing_seconds,
)
from worker.domain.partners import Partner, PartnerMode

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MOMENT = timedelta(microseconds=1)
NO_CALL: dict[str, object] = {
    "probe_id": None,
    "probe_ends_at": None,
    "second_probe_id": None,
    "second_probe_ends_at": None,
    "failed_probes": 0,
}


def partner(rate: float | None) -> Partner:
    return Partner(
        partner_id="P1", secret="s3cret", bank_url="https://bank.test/", rate_per_second=rate
    )


@pytest.mark.parametrize(
    ("age", "is_fresh"),
    [
        (timedelta(0), True),
        (PROOF_LASTS - MOMENT, True),
        (PROOF_LASTS, False),
        (MOMENT - PROOF_LASTS, True),
        (-PROOF_LASTS, False),
    ],
)
def test_a_proof_lasts_for_a_while_and_one_from_far_ahead_is_none(
    *, age: timedelta, is_fresh: bool
) -> None:
    row = {"mode": PartnerMode.ACTIVE, "proven_at": NOW - age}
    assert is_proven(row, now=NOW) is is_fresh


@pytest.mark.parametrize(
    "row",
    [
        {"mode": PartnerMode.ACTIVE, "proven_at": None},
        {"mode": PartnerMode.PAUSED, "proven_at": NOW},
        {"mode": PartnerMode.COOLING, "proven_at": NOW},
    ],
)
def test_who_never_answered_or_rests_is_not_proven(row: dict[str, object]) -> None:
    assert not is_proven(row, now=NOW)


def test_a_cooldown_lasts_until_its_end() -> None:
    row = {"mode": PartnerMode.COOLING, "resume_at": NOW}
    assert is_cooling(row, now=NOW - MOMENT)
    assert not is_cooling(row, now=NOW)
    assert not is_cooling({"mode": PartnerMode.PAUSED, "resume_at": None}, now=NOW)


def test_a_first_call_is_under_way_until_its_lease_ends() -> None:
    row = {**NO_CALL, "probe_id": "lease", "probe_ends_at": NOW}
    assert is_probing(row, now=NOW - MOMENT)
    assert not is_probing(row, now=NOW)
    assert not is_probing(NO_CALL, now=NOW)


def test_after_a_first_call_that_proved_nothing_two_may_be_under_way() -> None:
    one = {**NO_CALL, "failed_probes": 1, "second_probe_id": "b", "second_probe_ends_at": NOW}
    two = {**one, "probe_id": "a", "probe_ends_at": NOW}
    assert [is_probing(row, now=NOW - MOMENT) for row in (one, two)] == [False, True]
    assert first_calls(two, now=NOW - MOMENT) == ["a", "b"]
    assert first_calls(two, now=NOW) == []


def test_calls_that_leave_in_one_second_are_no_more_than_the_rate() -> None:
    """Whatever each of them is late by, and but for one at the edge of the second."""
    assert (1 + LATE.total_seconds()) * HEADROOM < 1


def test_a_rate_leaves_headroom_between_calls() -> None:
    assert spacing_seconds(partner(10.0)) == pytest.approx(1 / 9)
    assert spacing_seconds(partner(None)) == 0.0


def test_the_next_slot_is_a_spacing_after_the_last_and_never_before_now() -> None:
    assert next_slot(None, now=NOW, seconds=0.5) == NOW
    assert next_slot(NOW - SECOND, now=NOW, seconds=0.5) == NOW
    assert next_slot(NOW, now=NOW, seconds=0.5) == NOW + SECOND / 2
    assert next_slot(NOW + AHEAD, now=NOW, seconds=0.5) == NOW + AHEAD + SECOND / 2


def test_a_slot_further_ahead_than_any_is_given_does_not_count() -> None:
    assert next_slot(NOW + AHEAD + MOMENT, now=NOW, seconds=0.5) == NOW


@pytest.mark.parametrize(
    ("last", "seconds", "free"),
    [
        (None, 0.25, 5),
        (NOW, 0.25, 4),
        (NOW + AHEAD - SECOND / 4, 0.25, 1),
        (NOW + AHEAD, 0.25, 0),
        (None, 5.0, 1),
        (NOW, 5.0, 0),
    ],
)
def test_free_slots_are_those_within_what_a_call_may_wait(
    last: datetime | None, seconds: float, free: int
) -> None:
    assert free_slots(last, now=NOW, seconds=seconds) == free
