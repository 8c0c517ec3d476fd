"""`prune` removes what ended long ago, on a clear yes; what it removed stays known."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.cli.conftest import Run
from tests.cli.test_requeue import GAVE_UP, UNKNOWN, WHY
from tests.integration.stock import (
    ANSWERED,
    CANCELLED,
    NOON,
    PAID,
    Clock,
    accept,
    claimed,
    settle,
)
from worker.domain.decision import Decision
from worker.store import RejectedMessage, Store, open_database

LONG_AGO = NOON - timedelta(days=500)


@pytest.fixture
def past(database: str) -> Iterator[Store]:
    """The store behind `database` as it was 500 days before a noon that is past."""
    store = Store(open_database(database, clock=Clock(LONG_AGO)))
    yield store
    store.close()


def end(store: Store, decision: Decision, *uids: str) -> None:
    for uid in uids:
        accept(store, uid)
        settle(store, claimed(store, uid), decision, ANSWERED)


def left(store: Store) -> list[str]:
    return sorted(job["partner_txn_uid"] for job in store.reports.jobs())


def test_what_ended_long_ago_is_pruned_except_what_waits_for_a_person(
    run: Run, past: Store, stored: Store, database: str
) -> None:
    end(past, CANCELLED, "old1", "old2")
    end(past, PAID, "paid")
    end(past, UNKNOWN, "unknown")
    end(past, GAVE_UP, "gave_up")
    end(stored, CANCELLED, "young")
    done = run("prune", "--yes", KPLUS_DATABASE_URL=database)
    assert (done.code, done.err) == (0, "")
    counts = {row["what"]: row["count"] for row in done.json["pruned"]}
    assert counts == {
        "cancelled": 2,
        "already_cancelled": 0,
        "expired": 0,
        "lapsed": 0,
        "paid": 1,
    }
    assert done.json["pruned"][0]["older_than"] == 365 * 86400
    assert left(stored) == ["gave_up", "unknown", "young"]


def test_an_outcome_that_waits_for_a_person_is_pruned_by_its_name(
    run: Run, past: Store, stored: Store, database: str
) -> None:
    end(past, UNKNOWN, "U1")
    end(past, CANCELLED, "U2")
    given = ("prune", "--outcome", "unknown", "--older-than", "90d", "--yes", "--table")
    page = run(*given, KPLUS_DATABASE_URL=database).out
    assert page.splitlines()[1].split() == ["unknown", "90", "days", "1"]
    assert left(stored) == ["U2"]


def test_a_dry_run_counts_and_removes_nothing(
    run: Run, past: Store, stored: Store, database: str
) -> None:
    end(past, CANCELLED, "U1", "U2")
    page = run("prune", "--dry-run", "--table", KPLUS_DATABASE_URL=database).out
    assert "would be pruned" in page
    assert page.splitlines()[1].split() == ["cancelled", "365", "days", "2"]
    assert left(stored) == ["U1", "U2"]


def test_nothing_is_pruned_without_a_clear_yes(
    run: Run, past: Store, stored: Store, database: str
) -> None:
    end(past, CANCELLED, "U1")
    past.rejected_messages.keep(RejectedMessage("not_json", "no", "1"))
    given = ("prune", "--older-than", "90d", "--messages-older-than", "90d")
    done = run(*given, KPLUS_DATABASE_URL=database)
    assert done.code == 2
    assert "this would prune 1 job, 1 rejected messages: say --yes" in done.err
    assert left(stored) == ["U1"]


def test_nothing_old_enough_is_an_answer(run: Run, stored: Store, database: str) -> None:
    end(stored, CANCELLED, "U1")
    done = run("prune", "--table", KPLUS_DATABASE_URL=database)
    assert (done.code, done.out) == (0, "Nothing is old enough.\n")


def test_messages_and_acts_are_pruned_by_options_of_their_own(
    run: Run, past: Store, stored: Store, database: str
) -> None:
    end(past, CANCELLED, "U1")
    past.rejected_messages.keep(RejectedMessage("not_json", "no", "1"))
    past.actions.pause_partner("P1", who="me", reason="why")
    past.actions.resume_partner("P1", who="me", reason="why")
    given = ("prune", "--messages-older-than", "30d", "--actions-older-than", "30d", "--yes")
    done = run(*given, KPLUS_DATABASE_URL=database).json
    assert [(row["what"], row["count"]) for row in done["pruned"]] == [
        ("rejected messages", 1),
        ("operators' acts", 2),
    ]
    assert left(stored) == ["U1"]


@pytest.mark.parametrize("age", ["1h", "23h", "soon", "0d", "999999d"])
def test_an_age_below_a_day_or_beyond_all_sense_is_refused(
    run: Run, database: str, age: str
) -> None:
    done = run("prune", "--older-than", age, KPLUS_DATABASE_URL=database)
    assert done.code == 2
    assert "'--older-than'" in done.err


def test_a_pruned_job_still_says_what_it_was(
    run: Run, past: Store, database: str, partner: dict[str, str]
) -> None:
    end(past, CANCELLED, "U1")
    run("prune", "--yes", KPLUS_DATABASE_URL=database)
    shown = run("show", "U1", KPLUS_DATABASE_URL=database)
    assert (shown.code, shown.json["outcome"], shown.json["state"]) == (
        0,
        "cancelled",
        "succeeded",
    )
    assert shown.json["pruned_at"].endswith("Z")
    explained = run("why", "U1", KPLUS_DATABASE_URL=database).json
    assert "succeeded, outcome cancelled, since 2024-10-17" in explained["stands"]
    assert (explained["acts"], explained["next_at"]) == ([], None)
    for command in ("show", "why"):
        page = run(command, "U1", "--table", KPLUS_DATABASE_URL=database).out
        assert "The bank cancelled the token." in page
        assert "the same order again is a duplicate" in page


def test_an_order_after_pruning_is_a_duplicate_or_a_conflict(
    run: Run, past: Store, database: str
) -> None:
    end(past, CANCELLED, "U1")
    run("prune", "--yes", KPLUS_DATABASE_URL=database)
    order = ("enqueue", "--uid", "U1", "--reference1", "R1", "--partner", "P1", "--token")
    again = run(*order, "T-U1", KPLUS_DATABASE_URL=database)
    assert (again.code, again.json["status"]) == (0, "duplicate")
    assert (again.json["state"], again.json["outcome"]) == ("succeeded", "cancelled")
    other = run(*order, "T2", "--table", KPLUS_DATABASE_URL=database)
    assert other.code == 1
    assert "its job ended cancelled and was pruned" in other.err
    assert run("rejected", KPLUS_DATABASE_URL=database).json[0]["reason"] == "conflict"


def test_a_pruned_job_cannot_be_tried_again(run: Run, past: Store, database: str) -> None:
    end(past, UNKNOWN, "U1")
    run("prune", "--outcome", "unknown", "--yes", KPLUS_DATABASE_URL=database)
    for command in (("requeue", "U1"), ("reissue", "U1", "--as", "U2")):
        done = run(*command, *WHY, KPLUS_DATABASE_URL=database)
        assert done.code == 1
        assert "it was pruned, and its token with it: see `kplus-cancel why U1`" in done.err
