"""Jobs in doubt end by answers that are stored, once the dialect understands them."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, Final

import pytest
from sqlalchemy import text

from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    ANSWERED,
    CANCELLED,
    LOST,
    PAID,
    UNHEARD,
    Clock,
    accept,
    attempts,
    claim,
    claimed,
    evidence,
    only,
    row,
    settle,
)
from worker.config.dialect_file import built_in
from worker.domain.answer import Answer
from worker.domain.decision import Decision
from worker.domain.dialect import Dialect
from worker.domain.kplus import Envelope, TokenEntry
from worker.domain.rejudgement import conclusion_of
from worker.domain.states import Event, Outcome, State
from worker.store import RequeueResult, Store, Verdict

TAUGHT: Final = built_in().extended(
    Dialect.model_validate(
        {
            "error_codes": {"token_frozen": "already_cancelled", "token_used": "paid"},
            "short_codes": {"EMFZ": "already_cancelled"},
            "statuses": {"REVOKED": "cancelled", "GONE": "expired"},
        }
    )
)
FROZEN: Final = Envelope(status_code="10", error_code="token_frozen", error_desc="frozen")
USED: Final = Envelope(status_code="10", error_code="token_used")


def revoked(uid: str = "U1", status: str = "REVOKED") -> Envelope:
    return Envelope(status_code="00", tokens=(TokenEntry(f"T-{uid}", "R1", (status,)),))


def hears(store: Store, clock: Clock, *answers: Envelope | None, uid: str = "U1") -> None:
    """Let a job hear these answers, none of which was understood; None is silence."""
    accept(store, uid)
    for envelope in answers:
        clock.forward(60)
        heard = "unknown_status" if envelope and envelope.tokens else "unknown_code"
        decision = Decision(Event.DOUBT, heard, "not in the dialect", wait=LOST.wait)
        left = evidence(Answer(200, envelope)) if envelope else UNHEARD
        settle(store, claimed(store, uid), decision if envelope else LOST, left)


def rejudge(store: Store, uid: str = "U1", dialect: Dialect = TAUGHT) -> RequeueResult:
    return store.actions.rejudge(uid, dialect, who="ploy", reason="the bank explained its words")


@pytest.mark.parametrize(
    ("envelope", "state", "outcome", "words"),
    [
        (FROZEN, "succeeded", "already_cancelled", (None, "10", "token_frozen", "frozen")),
        (USED, "refused", "paid", (None, "10", "token_used", None)),
        (revoked(), "succeeded", "cancelled", ("REVOKED", "00", None, None)),
        (revoked(status="GONE"), "succeeded", "expired", ("GONE", "00", None, None)),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_a_job_in_doubt_ends_by_an_answer_that_is_understood_now(
    store: Store, clock: Clock, envelope: Envelope, state: str, outcome: str, words: Any
) -> None:
    hears(store, clock, envelope, None)
    clock.forward(5)
    assert rejudge(store).verdict is Verdict.DONE
    job = row(store)
    assert only(job, "state", "outcome", "finished_at", "next_attempt_at") == (
        state,
        outcome,
        clock.now,
        None,
    )
    assert only(job, "token_status", "status_code", "error_code", "error_desc") == words
    assert only(job, "attempts", "conversations", "doubted") == (2, 2, True)


def test_the_act_is_recorded_and_the_evidence_stays_as_it_was(store: Store, clock: Clock) -> None:
    hears(store, clock, None, FROZEN)
    before, partners = attempts(store), store.partners.all()
    rejudge(store)
    assert (attempts(store), store.partners.all()) == (before, partners)
    (act,) = store.reports.actions("U1")
    assert only(act, "action", "who", "reason", "at") == (
        "rejudge",
        "ploy",
        "the bank explained its words",
        clock.now,
    )
    told = ("state", "outcome", "conversation", "heard")
    assert only(act["before"], *told) == ("in_doubt", None, 2, "unknown_code")
    assert only(act["after"], *told) == ("succeeded", "already_cancelled", 2, "already_cancelled")


def test_the_same_again_changes_nothing(store: Store, clock: Clock) -> None:
    hears(store, clock, FROZEN)
    rejudge(store)
    ended = row(store)
    clock.forward(60)
    assert rejudge(store).verdict is Verdict.NOT_IN_DOUBT
    assert row(store) == ended
    assert len(store.reports.actions()) == 1


@pytest.mark.parametrize(
    ("answers", "dialect"),
    [
        ([FROZEN], built_in()),
        ([None], TAUGHT),
        ([FROZEN, USED], TAUGHT),
        ([revoked(), revoked(status="REQUESTED")], TAUGHT),
        ([FROZEN], Dialect.model_validate({"error_codes": {"token_frozen": "refused"}})),
        ([FROZEN], Dialect.model_validate({"error_codes": {"token_frozen": "later"}})),
        ([FROZEN], Dialect.model_validate({"error_codes": {"token_frozen": "ours"}})),
    ],
    ids=["unknown", "silence", "contradiction", "payable later", "refused", "later", "ours"],
)
def test_a_job_of_which_no_clear_truth_is_stored_stays_in_doubt(
    store: Store, clock: Clock, answers: list[Envelope | None], dialect: Dialect
) -> None:
    hears(store, clock, *answers)
    before = row(store)
    assert rejudge(store, dialect=dialect).verdict is Verdict.UNCLEAR
    assert row(store) == before
    assert store.reports.actions() == []


def test_a_late_answer_that_could_not_end_its_job_then_ends_it_now(
    store: Store, clock: Clock
) -> None:
    """It came while another conversation was under way, and that one ended in doubt."""
    hears(store, clock, None)
    clock.forward(60)
    late = claimed(store)
    clock.forward(60)
    settle(store, late, Decision(Event.DOUBT, "lease_ended", "silent", wait=LOST.wait))
    clock.forward(60)
    mine = claimed(store)
    assert not store.jobs.settle_late(late, PAID, evidence(Answer(200, revoked(status="PAID"))))
    settle(store, mine, LOST)
    assert rejudge(store, dialect=built_in()).verdict is Verdict.DONE
    assert row(store)["outcome"] == Outcome.PAID


def test_a_job_that_a_worker_took_up_meanwhile_is_left_to_it(store: Store, clock: Clock) -> None:
    hears(store, clock, FROZEN)
    (page,) = store.conversations.all(in_doubt=True)
    assert [conclusion_of(told.conversations, TAUGHT).outcome for told in page] == [
        Outcome.ALREADY_CANCELLED
    ]
    clock.forward(60)
    mine = claimed(store)
    assert rejudge(store).verdict is Verdict.NOT_IN_DOUBT
    assert row(store)["state"] == State.IN_FLIGHT
    assert settle(store, mine, CANCELLED, ANSWERED)
    assert row(store)["outcome"] == Outcome.CANCELLED
    assert store.reports.actions() == []


def test_a_job_that_nobody_stored_is_told(store: Store) -> None:
    assert rejudge(store, "U9") == RequeueResult("U9", Verdict.NOT_FOUND)


def test_a_worker_and_an_operator_at_once_end_a_job_once(
    store: Store, open_store: OpenStore, clock: Clock
) -> None:
    uids = [f"U{n}" for n in range(20)]
    for uid in uids:
        hears(store, clock, FROZEN, uid=uid)
    clock.forward(60)
    stores = [open_store(clock) for _ in range(3)]
    start = Barrier(3)

    def operate(mine: Store) -> list[Verdict]:
        start.wait()
        return [rejudge(mine, uid).verdict for uid in uids]

    def work(mine: Store) -> list[bool]:
        start.wait()
        held = [claim(mine, uid) for uid in reversed(uids)]
        return [each is not None and settle(mine, each, CANCELLED, ANSWERED) for each in held]

    with ThreadPoolExecutor(3) as threads:
        acts = [threads.submit(operate, each) for each in stores[:2]]
        calls = threads.submit(work, stores[2])
        verdicts = [verdict for act in acts for verdict in act.result()]
        settled = calls.result()
    done = verdicts.count(Verdict.DONE)
    assert done + settled.count(True) == len(uids)
    assert done == len(store.reports.actions())
    assert {row(store, uid)["state"] for uid in uids} == {State.SUCCEEDED}


def test_every_job_is_read_once_with_its_answers_in_their_order(store: Store, clock: Clock) -> None:
    for n in range(5):
        hears(store, clock, FROZEN, None, revoked(f"U{n}"), uid=f"U{n}")
    hears(store, clock, uid="U5")
    pages = list(store.conversations.all(batch=2))
    assert [[told.uid for told in page] for page in pages] == [
        ["U0", "U1"],
        ["U2", "U3"],
        ["U4", "U5"],
    ]
    assert [told.state for page in pages for told in page][4:] == [State.IN_DOUBT, State.PENDING]
    (told, silent) = pages[2]
    assert [each.number for each in told.conversations] == [1, 3]
    assert told.conversations[0].short_code == ""
    assert told.conversations[1].tokens == (("T-U4", "REVOKED"),)
    assert silent.conversations == ()
    doubtful = [told.uid for page in store.conversations.all(in_doubt=True) for told in page]
    assert doubtful == ["U0", "U1", "U2", "U3", "U4"]


def test_the_short_code_is_kept_though_the_text_before_it_is_cut(
    store: Store, clock: Clock
) -> None:
    long = Envelope(error_code="new", error_desc="x" * 200, short_code="EMFZ")
    hears(store, clock, long)
    assert attempts(store)[0]["short_code"] == "EMFZ"
    assert rejudge(store).verdict is Verdict.DONE


def test_rows_of_a_version_that_kept_no_short_code_are_judged_by_their_text(
    store: Store, clock: Clock
) -> None:
    for uid, said in (("U1", "frozen (EMFZ)"), ("U2", "x" * 200)):
        envelope = Envelope(error_code="new", error_desc=said, short_code="EMFZ")
        hears(store, clock, envelope, uid=uid)
    with store.database.engine.begin() as connection:
        connection.execute(text("UPDATE cancel_attempts SET short_code = NULL"))
    assert rejudge(store).verdict is Verdict.DONE
    assert rejudge(store, "U2").verdict is Verdict.UNCLEAR
