"""`why` tells an operator at night what happened to a job, what follows, and what to do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.integration.stock import (
    BUSY,
    LOST,
    OURS,
    SILENT,
    accept,
    claimed,
    execute,
    settle,
)
from worker.domain.decision import Decision
from worker.domain.states import Event, Outcome
from worker.explain.history import happened, stands
from worker.store import RequeueRequest, Store

NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
UNKNOWN = Decision(Event.EXHAUST, "duplicate", "seen", outcome=Outcome.UNKNOWN)
KEYS = ["partner_txn_uid", "state", "outcome", "stands", "happened", "next", "next_at", "acts"]
KEYS += ["named_with"]


def spend(store: Store, *decisions: Decision, uid: str = "U1") -> None:
    """Let attempts follow each other at once; what comes after the last is not due for long."""
    for decision in decisions:
        execute(store, "UPDATE cancel_jobs SET next_attempt_at = created_at WHERE lease_id IS NULL")
        later = decision if decision.wait is None else replace(decision, wait=timedelta(days=1))
        settle(store, claimed(store, uid), later)


def attempt(minute: int, decision: str, heard: str, **fields: Any) -> dict[str, Any]:
    at = NOW - timedelta(minutes=30 - minute)
    usual = {"kind": "cancel", "started_at": at, "finished_at": at, "http_status": None}
    return {**usual, "decision": decision, "heard": heard, "spent": True, "detail": "so", **fields}


def story(*attempts: dict[str, Any], acts: Any = (), **fields: Any) -> list[str]:
    job = {
        "state": "in_doubt",
        "created_at": NOW - timedelta(hours=1),
        "continues": None,
        "requeued_at": None,
        "token_status": None,
        **fields,
    }
    return list(happened(job, attempts, acts, NOW))


def test_the_story_of_many_attempts_is_condensed() -> None:
    told = story(
        attempt(1, "retry", "later"),
        attempt(2, "doubt", "read_timeout"),
        attempt(3, "doubt", "read_timeout"),
        attempt(4, "doubt", "http_502"),
        attempt(5, "retry", "http_429", spent=False),
        attempt(6, "doubt", "payable", kind="inquiry", http_status=200, spent=False),
        token_status="CREATED",
    )
    assert told == [
        "Accepted at 2026-11-22 19:00:00 UTC (60 min ago).",
        (
            "The bank was asked 6 times, from 2026-11-22 19:31:00 to 2026-11-22 19:36:00 UTC, "
            "1 of them to learn what became of the token."
        ),
        "4 ended in doubt: read timeout (2), http 502 (1), payable (1).",
        "2 had no effect: later (1), http 429 (1); 1 not counted as an attempt.",
        "Last heard at 2026-11-22 19:36:00 UTC (24 min ago): payable (HTTP 200): so.",
        "The token's status, as the bank sent it last: CREATED.",
    ]


def test_one_attempt_is_told_once() -> None:
    told = story(attempt(1, "doubt", "read_timeout"))
    assert told[1:] == [
        "The bank was asked once at 2026-11-22 19:31:00 UTC.",
        "Last heard at 2026-11-22 19:31:00 UTC (29 min ago): read timeout: so.",
    ]


def test_a_job_nobody_asked_about_says_so() -> None:
    assert story(continues="U0") == [
        "Accepted at 2026-11-22 19:00:00 UTC (60 min ago), to continue U0.",
        "The bank has not been asked yet.",
    ]


def test_a_first_call_under_way_has_no_end_yet() -> None:
    assert story(state="in_flight")[1] == "No call has ended yet."


def test_what_operators_did_is_part_of_the_story() -> None:
    at = NOW - timedelta(minutes=28)
    act = {"id": 1, "at": at, "action": "requeue", "who": "ploy", "reason": "up", "after": {}}
    told = story(
        attempt(1, "exhaust", "later"), attempt(3, "retry", "later"), acts=[act], requeued_at=at
    )
    assert told[1] == "Requeued by ploy at 2026-11-22 19:32:00 UTC (28 min ago): up."
    assert told[2].endswith(", once since it was requeued.")
    heir = {**act, "action": "reissue", "after": {"continued_by": "U2"}}
    assert story(acts=[heir])[1].startswith("Reissued as U2 by ploy at")


def test_where_a_job_stands_is_said_with_since_when() -> None:
    job = {
        "state": "pending",
        "outcome": None,
        "updated_at": NOW,
        "finished_at": None,
        "requeued_at": None,
    }
    assert stands(job, NOW) == (
        "pending since 2026-11-22 20:00:00 UTC (now): accepted, the bank has not been asked yet."
    )
    assert "requeued by an operator" in stands({**job, "requeued_at": NOW}, NOW)
    ends = {**job, "state": "exhausted", "outcome": "unknown", "finished_at": NOW}
    assert stands(ends, NOW).startswith("exhausted, outcome unknown, since 2026-11-22")


def test_why_tells_a_program_all_of_it(run: Run, stored: Store, database: str) -> None:
    accept(stored, "U1")
    spend(stored, LOST, BUSY, SILENT)
    done = run("why", "U1", "--json", KPLUS_DATABASE_URL=database)
    assert done.code == 0
    assert list(done.json) == KEYS
    assert done.json["state"] == "in_doubt"
    assert "3 times" in done.json["happened"][1]
    assert "asked again" in done.json["next"]
    assert done.json["next_at"].endswith("Z")
    assert done.json["acts"] == []


def test_two_jobs_of_one_token_name_each_other(run: Run, stored: Store, database: str) -> None:
    accept(stored, "U1", token_id="T", reference1="R1")
    accept(stored, "U2", token_id="T", reference1="R2")
    found = run("why", "U1", "--json", KPLUS_DATABASE_URL=database).json
    assert [other["partner_txn_uid"] for other in found["named_with"]] == ["U2"]
    assert "Job U2 (pending, reference1 R2) names the same token" in found["happened"][-1]
    page = run("why", "U2", "--table", KPLUS_DATABASE_URL=database).out
    assert "→ kplus-cancel why U1" in page


@pytest.mark.parametrize(
    ("decisions", "words"),
    [
        ((), ("The bank has not been asked yet", "It is due since", "Nothing needs to be done")),
        ((LOST,), ("in_doubt since", "read timeout: the bank said nothing", "is asked again at")),
        ((OURS,), ("by a worker: wrong key", "→ kplus-cancel partners resume P1 --reason WHY")),
        (
            (LOST, UNKNOWN),
            ("exhausted, outcome unknown", "portal", "→ kplus-cancel reissue U1 --as NEWUID"),
        ),
    ],
    ids=["new", "doubt", "paused", "unknown"],
)
def test_why_prints_a_page_for_a_person(
    run: Run, stored: Store, database: str, decisions: tuple[Decision, ...], words: tuple[str, ...]
) -> None:
    accept(stored, "U1")
    spend(stored, *decisions)
    page = run("why", "U1", "--table", KPLUS_DATABASE_URL=database).out
    for each in (*words, "What happened", "What happens next", "What would move it"):
        assert each in page
    assert "\x1b" not in page


def test_why_tells_of_the_banks_maintenance(run: Run, stored: Store, database: str) -> None:
    accept(stored, "U1")
    always = {"KPLUS_MAINTENANCE": "2020-01-01T00:00/2090-01-01T00:00"}
    told = run("why", "U1", KPLUS_DATABASE_URL=database, **always).json
    assert "in maintenance until 2089-12-31 17:00:00 UTC" in told["next"]
    assert told["next_at"] == "2089-12-31T17:00:00.000000Z"


def test_why_names_the_operator_who_paused_and_the_one_who_requeued(
    run: Run, stored: Store, database: str
) -> None:
    accept(stored, "U1")
    spend(stored, UNKNOWN)
    stored.actions.requeue(RequeueRequest("U1", ()), who="somchai@ops", reason="the bank is up")
    stored.actions.pause_partner("P1", who="ploy@ops", reason="maintenance")
    page = run("why", "U1", "--table", KPLUS_DATABASE_URL=database).out
    assert "Requeued by somchai@ops" in page
    assert "by ploy@ops: maintenance." in page


def test_why_a_worker_paused_is_not_blamed_on_an_earlier_operator(
    run: Run, stored: Store, database: str
) -> None:
    stored.actions.pause_partner("P1", who="ploy@ops", reason="maintenance")
    stored.actions.resume_partner("P1", who="ploy@ops", reason="over")
    accept(stored, "U1")
    spend(stored, OURS)
    assert "by a worker: wrong key" in run("why", "U1", KPLUS_DATABASE_URL=database).json["next"]


def test_what_the_bank_wrote_is_shown_and_not_obeyed(
    run: Run, stored: Store, database: str
) -> None:
    accept(stored, "U1")
    spend(stored, Decision(Event.DOUBT, "x", "\x1b[31mowned [bold]", wait=timedelta(0)))
    page = run("why", "U1", "--table", KPLUS_DATABASE_URL=database).out
    assert "\x1b" not in page
    assert r"\x1b[31mowned [bold]" in page


def test_why_of_a_job_nobody_stored_is_a_no(run: Run, database: str) -> None:
    done = run("why", "U404", KPLUS_DATABASE_URL=database)
    assert done.code == 1
    assert "no job is stored under 'U404'" in done.err


def test_a_call_that_never_left_is_not_counted_as_asking() -> None:
    told = story(attempt(1, "retry", "unconfigured"), attempt(2, "retry", "dns_failed"))
    assert told[1] == (
        "Nothing was sent to the bank: 2 calls ended before that, "
        "from 2026-11-22 19:31:00 to 2026-11-22 19:32:00 UTC."
    )
    assert told[-1].startswith("Last tried at 2026-11-22 19:32:00 UTC")
    told = story(attempt(1, "retry", "connect_failed"), attempt(2, "doubt", "read_timeout"))
    assert told[1] == (
        "The bank was asked once at 2026-11-22 19:32:00 UTC; "
        "1 more call ended before anything was sent."
    )
