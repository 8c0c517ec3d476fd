"""The order system's list and the table, compared both ways, as long as the list may be."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    ANSWERED,
    CANCELLED,
    LOST,
    NOON,
    PAID,
    SECOND,
    Clock,
    accept,
    claimed,
    hint,
    order,
    settle,
)
from worker.domain.decision import Decision
from worker.domain.differences import Difference, DifferenceKind
from worker.domain.orders import read_order
from worker.domain.states import Event, Outcome
from worker.jobs.comparison import Comparison
from worker.jobs.manifest import ManifestEntry, RefusedLine
from worker.jobs.staging import Staging, staging
from worker.store import RequeueRequest, Status, Store

UNKNOWN = Decision(Event.EXHAUST, "duplicate", "seen", outcome=Outcome.UNKNOWN)


@pytest.fixture
def staged() -> Iterator[Staging]:
    with staging() as made:
        yield made


def entry(uid: str, line: int = 1, expected: Outcome | None = None, **fields: Any) -> ManifestEntry:
    told = order(uid, **fields)
    told["partner_txn_uid"] = told.pop("uid")
    return ManifestEntry(line, read_order(told), expected)


def nothing(_done: int) -> None:
    """Nobody watches."""


def compared(
    store: Store, staged: Staging, *entries: ManifestEntry | RefusedLine
) -> tuple[Comparison, Any]:
    told: list[Difference] = []
    agreement = Comparison(store, staged, told.append)
    agreement.stage(entries, nothing)
    agreement.compare(nothing)
    return agreement, told


def end(store: Store, decision: Decision, *uids: str) -> None:
    for uid in uids:
        accept(store, uid)
        settle(store, claimed(store, uid), decision, ANSWERED)


def test_lists_that_agree_are_told_so_with_what_came_of_the_orders(
    store: Store, staged: Staging
) -> None:
    end(store, CANCELLED, "U1", "U2")
    end(store, PAID, "U3")
    agreement, told = compared(
        store, staged, entry("U1", expected=Outcome.CANCELLED), entry("U2"), entry("U3")
    )
    assert agreement.agrees
    assert told == []
    assert agreement.outcomes == {Outcome.CANCELLED: 2, Outcome.PAID: 1}


def test_every_way_to_differ_is_told_with_its_line(store: Store, staged: Staging) -> None:
    end(store, CANCELLED, "U1", "U2")
    end(store, PAID, "U3")
    accept(store, "U4")
    settle(store, claimed(store, "U4"), LOST)
    agreement, told = compared(
        store,
        staged,
        entry("U1", 2),
        entry("U2", 3, token_id="other"),
        entry("U3", 4, Outcome.CANCELLED),
        entry("U4", 5),
        entry("U5", 6),
        RefusedLine(7, "not_csv", "the line is not CSV"),
    )
    assert {(each.kind, each.partner_txn_uid, each.line) for each in told} == {
        (DifferenceKind.OTHER_CONTENT, "U2", 3),
        (DifferenceKind.OTHER_OUTCOME, "U3", 4),
        (DifferenceKind.NOT_FINAL, "U4", 5),
        (DifferenceKind.NOT_HERE, "U5", 6),
        (DifferenceKind.REFUSED, None, 7),
    }
    (other,) = [each for each in told if each.kind is DifferenceKind.OTHER_OUTCOME]
    assert (other.state, other.outcome, other.expected) == ("refused", "paid", "cancelled")
    assert not agreement.agrees


def test_a_job_that_is_not_final_yet_is_no_difference(store: Store, staged: Staging) -> None:
    accept(store, "U1")
    agreement, told = compared(store, staged, entry("U1", expected=Outcome.CANCELLED))
    assert agreement.agrees
    assert [each.kind for each in told] == [DifferenceKind.NOT_FINAL]


def test_a_pruned_job_agrees_by_its_tombstone(store: Store, staged: Staging, clock: Clock) -> None:
    end(store, CANCELLED, "U1", "U2")
    clock.forward(timedelta(days=100))
    store.retention.jobs(Outcome.CANCELLED, older_than=timedelta(days=90))
    agreement, told = compared(store, staged, entry("U1"), entry("U2", reference1="other"))
    assert agreement.outcomes == {Outcome.CANCELLED: 1}
    assert [(each.kind, each.partner_txn_uid) for each in told] == [
        (DifferenceKind.OTHER_CONTENT, "U2")
    ]


def test_for_a_reissued_job_the_one_that_continues_it_speaks(store: Store, staged: Staging) -> None:
    end(store, UNKNOWN, "U1", "U3")
    for uid, heir in (("U1", "U2"), ("U3", "U4")):
        store.actions.reissue(RequeueRequest(uid, ()), heir, who="ploy", reason="why")
    settle(store, claimed(store, "U2"), CANCELLED, ANSWERED)
    agreement, told = compared(store, staged, entry("U1", expected=Outcome.CANCELLED), entry("U3"))
    assert agreement.outcomes == {Outcome.CANCELLED: 1}
    assert [(each.kind, each.partner_txn_uid) for each in told] == [
        (DifferenceKind.NOT_FINAL, "U3")
    ]


def test_of_two_lines_under_one_uid_the_first_stands(store: Store, staged: Staging) -> None:
    agreement, told = compared(
        store, staged, entry("U1", 2), entry("U1", 3), entry("U1", 4, token_id="other")
    )
    assert (agreement.orders, agreement.repeated) == (1, 1)
    assert [(each.kind, each.line) for each in told] == [
        (DifferenceKind.REFUSED, 4),
        (DifferenceKind.NOT_HERE, 2),
    ]
    assert "line 2" in str(told[0].detail)


def test_what_is_missing_is_accepted_and_left_to_the_sweep(store: Store, staged: Staging) -> None:
    accept(store, "U1", hinted=True)
    expires = NOON + timedelta(days=1)
    agreement, _ = compared(store, staged, entry("U1"), entry("U2", expires_at=expires))
    agreement.accept(nothing)
    assert (agreement.accepted, agreement.agrees) == (1, True)
    assert hint(store) == ["U2"]
    found = store.reports.file("U2")
    assert found is not None
    assert found.job["expires_at"] == expires


def test_a_run_that_was_killed_half_way_is_repeated_without_doubling(
    store: Store, staged: Staging
) -> None:
    """A crash leaves whole chunks: what was accepted is known to the run after it."""
    entries = [entry(f"U{n}", n) for n in range(10)]
    store.bulk.accept([each.order.row() for each in entries[:4]])
    for expected in (6, 0):
        with staging() as again:
            agreement, _ = compared(store, again, *entries)
            agreement.accept(nothing)
            assert (agreement.accepted, agreement.agrees) == (expected, True)
    assert len(store.reports.jobs()) == 10


def test_an_order_that_another_brings_meanwhile_is_not_accepted_twice(
    store: Store, staged: Staging
) -> None:
    agreement, told = compared(store, staged, entry("U1"), entry("U2"))
    accept(store, "U1")
    accept(store, "U2", token_id="other")
    agreement.accept(nothing)
    assert agreement.accepted == 0
    assert agreement.counts[DifferenceKind.NOT_HERE] == 0
    assert (told[-1].kind, told[-1].partner_txn_uid) == (DifferenceKind.OTHER_CONTENT, "U2")


def test_jobs_that_the_manifest_does_not_name_are_found_within_a_window(
    store: Store, staged: Staging, clock: Clock
) -> None:
    for uid in ("U1", "U2", "U3", "U4"):
        accept(store, uid)
        clock.forward(SECOND)
    end(store, UNKNOWN, "U5")
    store.actions.reissue(RequeueRequest("U5", ()), "U6", who="ploy", reason="why")
    agreement, told = compared(store, staged, entry("U2"), entry("U5"))
    agreement.find_unlisted(since=NOON + SECOND, until=NOON + 3 * SECOND, advance=nothing)
    beyond = [each.partner_txn_uid for each in told if each.kind is DifferenceKind.NOT_IN_MANIFEST]
    assert beyond == ["U3"]
    agreement.find_unlisted(since=NOON + 3 * SECOND, until=clock.now + SECOND, advance=nothing)
    beyond = [each.partner_txn_uid for each in told if each.kind is DifferenceKind.NOT_IN_MANIFEST]
    assert beyond == ["U3", "U4"]


def test_jobs_accepted_in_a_window_come_in_pages_each_once(store: Store) -> None:
    accept(store, *(f"U{n}" for n in range(7)))
    pages = list(store.bulk.accepted(since=NOON, until=NOON + SECOND, page=3))
    assert [len(page) for page in pages] == [3, 3, 1]
    assert len({row.partner_txn_uid for page in pages for row in page}) == 7


def test_many_orders_are_accepted_in_one_statement_each_with_its_answer(
    store: Store, clock: Clock
) -> None:
    end(store, CANCELLED, "old", "pruned")
    clock.forward(timedelta(days=100))
    store.retention.jobs(Outcome.CANCELLED, older_than=timedelta(days=90), most=1)
    heard = store.bulk.accept(
        [order("pruned"), order("old", reference1="other"), *(order(f"U{n}") for n in range(997))]
    )
    assert sum(each.status is Status.ACCEPTED for each in heard.values()) == 997
    assert {heard["old"].outcome, heard["pruned"].outcome} == {Outcome.CANCELLED}
    assert heard["old"].status is Status.CONFLICT
    assert heard["pruned"].status is Status.DUPLICATE
    assert store.bulk.accept([]) == {}


def test_runs_side_by_side_accept_each_order_once(open_store: OpenStore) -> None:
    orders = [order(f"U{n}") for n in range(500)]
    stores = [open_store() for _ in range(4)]

    def bring(n: int) -> int:
        given = orders if n % 2 else orders[::-1]
        heard = stores[n].bulk.accept(given)
        return sum(each.status is Status.ACCEPTED for each in heard.values())

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(bring, range(4))) == 500
