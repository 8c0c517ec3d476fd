"""The checker: a run in order passes, and each way to break it is found, by the uid."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.survival.checker import INVARIANTS, LATE, Seen, check
from tests.survival.plan import Job, job, plan
from worker.sandbox import Entry
from worker.store import JobFile

AT = datetime(2026, 1, 1, tzinfo=UTC)
ANSWER: Mapping[str, object] = {"statusCode": "00", "errorCode": None, "status": "CANCELLED"}


def post(uid: str, seq: int = 1, **changes: Any) -> Entry:
    entry = Entry(seq, "cancel", uid, "P", f"ok-{uid[4:]}", "R", arrived_at=seq)
    usual: dict[str, Any] = {"finished_at": seq + 0.5, "http_status": 200, "answer": dict(ANSWER)}
    return replace(entry, **usual | changes)


def row(**changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "kind": "cancel",
        "http_status": 200,
        "decision": "succeed",
        "detail": "",
        "spent": 1,
        "started_at": AT + timedelta(seconds=1),
    }
    return usual | changes


def lost_row(**changes: Any) -> dict[str, Any]:
    return row(http_status=None, decision="doubt", **changes)


def file(*rows: dict[str, Any], **changes: Any) -> JobFile:
    held = {
        "state": "succeeded",
        "outcome": "cancelled",
        "attempts": len(rows),
        "conversations": len(rows),
        "created_at": AT,
        "finished_at": AT + timedelta(seconds=3),
    }
    return JobFile(job=held | changes, attempts=list(rows), tokens=[])


ONE, TWO = job("ok", 1), job("ok", 2)
IN_ORDER = Seen(
    jobs=[ONE, TWO],
    posts=[post(ONE.uid), post(TWO.uid, 2)],
    overlaps=[],
    lives={ONE.token: "CANCELLED", TWO.token: "CANCELLED"},
    files={ONE.uid: file(row()), TWO.uid: file(row())},
)


def with_one(*rows: dict[str, Any], posts: list[Entry] | None = None, **changes: Any) -> Seen:
    """Return the run with another first job."""
    kept = [entry for entry in IN_ORDER.posts if entry.partner_txn_uid != ONE.uid]
    own = [post(ONE.uid)] if posts is None else posts
    files = dict(IN_ORDER.files) | {ONE.uid: file(*rows, **changes)}
    return replace(IN_ORDER, posts=kept + own, files=files)


def test_a_run_in_order_holds_and_tells_its_longest_delay() -> None:
    verdict = check(IN_ORDER)
    assert verdict.holds
    assert str(verdict) == ""
    assert verdict.line("calm", faults="none", seconds=9) == (
        "| calm | 2 | none | 0 | 0 | 0 | 0 | 3.0 s | 1.0 s | 0 | 9 s |"
    )


BROKEN: Mapping[str, tuple[str, Callable[[], Seen]]] = {
    "no row": ("lost", lambda: replace(IN_ORDER, files={TWO.uid: file(row())})),
    "still in flight": (
        "unfinished",
        lambda: with_one(state="in_flight", outcome=None, finished_at=None, conversations=1),
    ),
    "two at once": ("overlapping", lambda: replace(IN_ORDER, overlaps=[ONE.uid])),
    "asked again for no reason": (
        "doubled",
        lambda: with_one(row(decision="retry"), row(), posts=[post(ONE.uid), post(ONE.uid, 2)]),
    ),
    "asked again after the end": (
        "doubled",
        lambda: with_one(row(), row(), posts=[post(ONE.uid), post(ONE.uid, 2)]),
    ),
    "one lost answer excuses one": (
        "doubled",
        lambda: with_one(
            lost_row(),
            row(decision="retry"),
            row(),
            posts=[post(ONE.uid), post(ONE.uid, 2), post(ONE.uid, 3)],
        ),
    ),
    "an answer lost on the line excuses no other": (
        "doubled",
        lambda: with_one(
            lost_row(),
            row(decision="retry"),
            row(),
            posts=[post(ONE.uid, http_status=None), post(ONE.uid, 2), post(ONE.uid, 3)],
        ),
    ),
    "called paid": ("untrue", lambda: with_one(row(), state="refused", outcome="paid")),
    "called cancelled while paid": (
        "untrue",
        lambda: replace(IN_ORDER, lives=dict(IN_ORDER.lives) | {ONE.token: "PAID"}),
    ),
    "a bank that was never asked": (
        "untrue",
        lambda: replace(IN_ORDER, lives={TWO.token: "CANCELLED"}),
    ),
    "given up": ("untrue", lambda: with_one(row(), state="exhausted", outcome="gave_up")),
    "a POST without a row": (
        "unwritten",
        lambda: with_one(row(), posts=[post(ONE.uid, http_status=None), post(ONE.uid, 2)]),
    ),
    "a conversation without a row": ("unwritten", lambda: with_one(row(), conversations=2)),
    "an attempt that is not counted": ("unwritten", lambda: with_one(row(), attempts=0)),
    "a job nobody ordered": ("invented", lambda: replace(IN_ORDER, jobs=[TWO])),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found_by_its_name_and_uid(name: str) -> None:
    invariant, seen = BROKEN[name]
    verdict = check(seen())
    assert not verdict.holds
    assert verdict.against[invariant] == (ONE.uid,)
    assert f"{invariant} (" in str(verdict)
    assert ONE.uid in str(verdict)


def test_every_invariant_can_be_broken() -> None:
    assert {invariant for invariant, _ in BROKEN.values()} == set(INVARIANTS)


@pytest.mark.parametrize(
    ("rows", "posts"),
    [
        ([lost_row(), row()], [post(ONE.uid, http_status=None), post(ONE.uid, 2)]),
        ([lost_row(), row()], [post(ONE.uid), post(ONE.uid, 2)]),
        ([row(detail=f"cancelled; {LATE}"), row()], [post(ONE.uid), post(ONE.uid, 2)]),
        (
            [row(decision="retry"), row()],
            [post(ONE.uid, answer={"errorCode": "general_error"}), post(ONE.uid, 2)],
        ),
        ([lost_row(), row()], [post(ONE.uid)]),
    ],
    ids=["lost on the line", "worker killed", "late", "the bank asked", "killed before its POST"],
)
def test_asking_again_for_a_reason_is_no_fault(
    rows: list[dict[str, Any]], posts: list[Entry]
) -> None:
    verdict = check(with_one(*rows, posts=posts))
    assert verdict.holds, str(verdict)
    assert verdict.asked_again == len(posts) - 1


def test_the_list_mixes_all_behaviours_in_every_twenty() -> None:
    jobs = plan(60)
    assert len({each.uid for each in jobs}) == 60
    for start in (0, 20, 40):
        kinds = {each.token.partition("-")[0] for each in jobs[start : start + 20]}
        assert kinds == {each.token.partition("-")[0] for each in jobs}
    assert all(isinstance(each, Job) for each in jobs)
