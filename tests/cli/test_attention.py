"""What needs a person is said in `stats` and `doctor`, what may cost money first."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from tests.cli.conftest import Run
from tests.cli.test_requeue import end
from tests.integration.stock import LOST, accept, claimed, execute, settle
from worker.domain.decision import Decision
from worker.domain.states import ALARMING, OUTCOMES, Event, Outcome, State
from worker.store import Store
from worker.store.schema.tables import audits

EVENTS = {State.REFUSED: Event.REFUSE, State.EXHAUSTED: Event.EXHAUST}
STATES = {outcome: state for state, ends in OUTCOMES.items() for outcome in ends}
RETRY = Decision(
    Event.RETRY, "unknown_code", "errorCode x", wait=timedelta(minutes=5), proves_partner=True
)


def ends_as(outcome: Outcome) -> Decision:
    return Decision(EVENTS[STATES[outcome]], "later", "so", outcome=outcome)


@pytest.fixture
def settings(database: str) -> dict[str, Any]:
    nowhere = {"KPLUS_BANK_URL": "http://127.0.0.1:1/", "KPLUS_BROKER_URL": "redis://127.0.0.1:1/0"}
    return {"KPLUS_DATABASE_URL": database, **nowhere}


def needs(run: Run, settings: dict[str, Any]) -> list[dict[str, str]]:
    return list(run("stats", "--json", **settings).json["attention"])


def test_ends_that_nobody_has_seen_are_told_until_somebody_has(
    run: Run, stored: Store, settings: dict[str, Any]
) -> None:
    for number, outcome in enumerate(ALARMING):
        end(stored, ends_as(outcome), f"U{number}", f"V{number}")
    told = needs(run, settings)
    assert [each["what"].split(",")[0] for each in told] == [
        f"2 jobs ended {outcome}" for outcome in ALARMING
    ]
    assert [each["command"] for each in told] == [
        f"kplus-cancel list --outcome {outcome} --unseen" for outcome in ALARMING
    ]
    assert "Refund" in told[0]["what"]
    checks = run("doctor", "--json", **settings).json["checks"]
    ends = [each for each in checks if each["check"] == "ends"]
    assert [(each["ok"], each["remedy"]) for each in ends] == [
        (False, each["command"]) for each in told
    ]
    assert [each["text"].split(",")[0] for each in ends] == [
        each["what"].split(",")[0] for each in told
    ]
    listed = run("list", "--outcome", "paid", "--unseen", **settings).json
    assert {each["partner_txn_uid"] for each in listed} == {"U0", "V0"}
    for outcome in ALARMING:
        run("seen", "--outcome", str(outcome), "--reason", "dealt with", "--yes", **settings)
    assert needs(run, settings) == []
    assert not [
        each
        for each in run("doctor", "--json", **settings).json["checks"]
        if each["check"] == "ends"
    ]


def test_drift_is_told_first_with_what_reopens_it(
    run: Run, stored: Store, settings: dict[str, Any]
) -> None:
    end(stored, ends_as(Outcome.PAID), "U1")
    end(stored, Decision(Event.SUCCEED, "cancelled", "so", outcome=Outcome.CANCELLED), "U2")
    now = datetime.now(UTC) + timedelta(seconds=1)
    times = dict.fromkeys(("started_at", "ends_at", "finished_at"), now)
    said = {"verdict": "drifts", "heard": "paid", "token_status": "PAID", "detail": "d"}
    job = {"partner_txn_uid": "U2", "partner_id": "P1", "wire_uid": "q", "held": "cancelled"}
    with stored.database.engine.begin() as connection:
        connection.execute(insert(audits).values(**job, **times, **said))
    first, second = needs(run, settings)
    assert "1 job whose end the bank contradicts" in first["what"]
    assert "kplus-cancel requeue --drifted" in first["what"]
    assert "1 job ended paid" in second["what"]
    why = run("why", "U2", **settings).json
    assert "the bank said PAID" in why["next"]
    assert why["acts"][0]["command"] == "kplus-cancel requeue U2 --reason WHY"
    given = ("requeue", "--drifted", "--reason", "ticket 4711")
    refused = run(*given, **settings)
    assert (refused.code, "this would requeue 1 job" in refused.err) == (2, True)
    done = run(*given, "--yes", **settings).json
    assert (done["requeued"], done["reopened"]) == (1, 1)
    assert done["counts"] == [{"outcome": "cancelled", "partner_id": "P1", "jobs": 1}]


@pytest.mark.parametrize("decision", [LOST, RETRY], ids=["in doubt", "retryable"])
def test_jobs_that_wait_on_words_nobody_taught_are_told_in_whatever_state(
    run: Run, stored: Store, settings: dict[str, Any], decision: Decision
) -> None:
    accept(stored, "U1")
    settle(stored, claimed(stored), decision)
    execute(stored, "UPDATE cancel_attempts SET heard = 'unknown_code'")
    (item,) = needs(run, settings)
    assert "words of the bank that the dialect does not know: 1 job." in item["what"]
    assert item["command"] == "kplus-cancel dialect unknown"


def test_jobs_of_a_partner_that_rests_ask_for_no_worker(
    run: Run, stored: Store, settings: dict[str, Any]
) -> None:
    accept(stored, "U1")
    stored.actions.pause_partner("P1", who="ploy", reason="maintenance")
    old = datetime.now(UTC) - timedelta(hours=1)
    stamp = old.replace(tzinfo=None) if stored.database.is_sqlite else old
    execute(stored, "UPDATE cancel_jobs SET next_attempt_at = :at", at=stamp)
    (item,) = needs(run, settings)
    assert "is paused" in item["what"]
    checks = run("doctor", "--json", **settings).json["checks"]
    (progress,) = [each for each in checks if each["check"] == "progress"]
    assert progress["ok"]
    assert "take no calls" in progress["text"]
    accept(stored, "U2", partner_id="P2")
    execute(stored, "UPDATE cancel_jobs SET next_attempt_at = :at", at=stamp)
    assert any("is a worker running?" in each["what"] for each in needs(run, settings))
