"""Whose turn it is: the rules by which a pass of the sweep chooses. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from worker.domain.partners import Partner
from worker.domain.turns import Lane, Room, Turns, as_probes, lane, room_of, room_of_new

NOW = datetime(2026, 11, 22, 19, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PROVEN: dict[str, Any] = {
    "mode": "active",
    "resume_at": None,
    "proven_at": NOW - SECOND,
    "probe_id": None,
    "probe_ends_at": None,
    "second_probe_id": None,
    "second_probe_ends_at": None,
    "probe_uid": "LAST",
    "failed_probes": 0,
    "pace": None,
    "slot_at": None,
}


@dataclass
class Job:
    partner_txn_uid: str
    partner_id: str = "P1"
    hints: int = 0
    expires_at: datetime | None = None
    next_attempt_at: datetime = NOW
    updated_at: datetime = NOW
    conversations: int = 0
    status_code: str | None = None


def _probing(most: int) -> Room:
    return Room(most, must_prove=True, last_probe="LAST")


def partner(**limits: Any) -> Partner:
    url = "https://bank.example/cancel"
    return Partner(partner_id="P1", secret=SecretStr("abcdefgh"), bank_url=url, **limits)


def chosen(turns: Turns) -> list[str]:
    return [job.partner_txn_uid for job in turns.chosen]


def jobs(*uids: str, **fields: Any) -> list[Job]:
    return [Job(uid, **fields) for uid in uids]


@pytest.mark.parametrize(
    ("changes", "limits", "room"),
    [
        ({}, {}, Room()),
        ({"mode": "paused"}, {}, Room(0)),
        ({"mode": "cooling", "resume_at": NOW + SECOND}, {}, Room(0)),
        ({"mode": "cooling", "resume_at": NOW - SECOND}, {}, _probing(2)),
        ({"proven_at": None}, {}, _probing(2)),
        (
            {"proven_at": None, "probe_id": "L", "probe_ends_at": NOW + SECOND},
            {},
            _probing(0),
        ),
        (
            {
                "proven_at": None,
                "probe_id": "L",
                "probe_ends_at": NOW + SECOND,
                "failed_probes": 1,
            },
            {},
            _probing(2),
        ),
        ({}, {"max_concurrency": 3}, Room(6)),
        ({"pace": 0.5, "slot_at": NOW}, {}, Room(2)),
        ({"slot_at": NOW}, {"rate_per_second": 10}, Room(9)),
        ({"slot_at": NOW}, {"rate_per_second": 10, "max_concurrency": 1}, Room(2)),
    ],
    ids=[
        "proven",
        "paused",
        "cooling",
        "cooled down",
        "must prove itself",
        "a first call is under way",
        "one more may go beside it",
        "bounded by its calls",
        "paced",
        "with a rate",
        "both",
    ],
)
def test_the_room_of_a_partner(changes: Any, limits: Any, room: Room) -> None:
    assert room_of(PROVEN | changes, partner(**limits), now=NOW) == room


def test_a_partner_that_is_not_configured_here_is_bounded_by_its_row_alone() -> None:
    assert room_of(PROVEN, None, now=NOW) == Room()
    assert room_of(PROVEN | {"pace": 0.5, "slot_at": NOW}, None, now=NOW) == Room(2)


def test_a_partner_without_a_row_must_prove_itself_where_it_is_configured() -> None:
    assert room_of_new(partner()) == Room(2, must_prove=True)
    assert room_of_new(None) == Room()


def test_what_is_hinted_at_takes_room() -> None:
    assert _probing(3).without(2) == _probing(1)
    assert Room(1).without(5) == Room(0)
    assert Room().without(5) == Room()


def test_the_lanes_follow_the_lost_hints() -> None:
    assert [lane(hints) for hints in (0, 1, 2, 9)] == [Lane.NEW, Lane.LOST, *[Lane.SUSPECT] * 2]


def test_the_earliest_expiry_goes_first() -> None:
    turns = Turns(room=2, suspects=1, runs=99)
    soon = Job("SOON", expires_at=NOW + SECOND)
    turns.offer([Job("NEVER"), Job("LATE", expires_at=NOW + 9 * SECOND), soon], {"P1": Room()})
    assert chosen(turns) == ["SOON", "LATE"]
    assert turns.left == 0


def test_nobody_is_offered_twice() -> None:
    turns = Turns(room=9, suspects=1, runs=99)
    for _ in range(2):
        turns.offer(jobs("U1", "U2"), {"P1": Room()})
    assert chosen(turns) == ["U1", "U2"]


def test_a_partner_gets_no_more_than_its_room() -> None:
    turns = Turns(room=9, suspects=1, runs=99)
    rooms = {"P1": Room(1), "P2": Room()}
    turns.offer([*jobs("U1", "U2"), *jobs("X1", "X2", partner_id="P2")], rooms)
    assert sorted(chosen(turns)) == ["U1", "X1", "X2"]
    assert not turns.wants("P1", rooms["P1"])
    assert turns.wants("P2", rooms["P2"])


def test_what_runs_are_left_bounds_the_turns_of_most_partners() -> None:
    turns = Turns(room=9, suspects=1, runs=2)
    assert [turns.mostly, Turns(room=1, suspects=1, runs=9).mostly] == [2, 1]
    turns.offer(jobs("U1", "U2", "U3"), {"P1": Room()})
    assert [turns.mostly, turns.left, len(turns.chosen)] == [0, 7, 2]


def test_few_hints_open_runs_and_the_bounded_partners_keep_theirs() -> None:
    turns = Turns(room=9, suspects=1, runs=2)
    rooms = {"P1": Room(), "P2": Room(3)}
    given = [*jobs(*"ABCD"), *jobs("X1", "X2", "X3", "X4", partner_id="P2")]
    turns.offer(given, rooms)
    assert sorted(chosen(turns)) == ["A", "B", "X1", "X2", "X3"]
    assert not any(turns.wants(name, room) for name, room in rooms.items())


def test_a_lost_hint_gets_one_turn_in_four_though_others_are_new() -> None:
    turns = Turns(room=4, suspects=1, runs=99)
    turns.offer([*jobs(*"ABCDE"), *jobs("LOST1", "LOST2", hints=1)], {"P1": Room()})
    assert chosen(turns) == ["LOST1", "A", "B", "C"]


def test_lost_hints_take_what_new_ones_leave() -> None:
    turns = Turns(room=4, suspects=1, runs=99)
    turns.offer([*jobs("A"), *jobs("LOST1", "LOST2", hints=1)], {"P1": Room()})
    assert chosen(turns) == ["LOST1", "A", "LOST2"]


def test_lost_hints_take_only_their_share_of_a_narrow_room() -> None:
    turns = Turns(room=40, suspects=1, runs=99)
    turns.offer([*jobs(*"ABCD"), *jobs("L1", "L2", "L3", hints=1)], {"P1": Room(4)})
    assert chosen(turns) == ["L1", "A", "B", "C"]


def test_jobs_that_nobody_claims_go_last_and_are_few() -> None:
    turns = Turns(room=9, suspects=2, runs=99)
    turns.offer([*jobs("S1", "S2", "S3", hints=5), *jobs("A")], {"P1": Room()})
    assert chosen(turns) == ["A", "S1", "S2"]


def test_who_goes_first_for_a_partner_that_must_prove_itself() -> None:
    given = [
        Job("LAST", status_code="99"),
        Job("SILENT", conversations=2),
        Job("NEW1"),
        Job("NEW2"),
        Job("ANSWERED", status_code="99", conversations=1),
    ]
    order = [job.partner_txn_uid for job in as_probes(given, "LAST")]
    assert order == ["ANSWERED", "NEW1", "NEW2", "SILENT", "LAST"]
    turns = Turns(room=1, suspects=1, runs=99)
    turns.offer(given, {"P1": Room(2, must_prove=True, last_probe="LAST")})
    assert chosen(turns) == ["ANSWERED"]


def test_a_pass_without_candidates_chooses_nobody() -> None:
    turns = Turns(room=3, suspects=1, runs=99)
    turns.offer([], {})
    assert chosen(turns) == []
    assert turns.left == 3
