"""`requeue`, `reissue` and `actions`: what operators do to final jobs, and the record of it."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.conftest import Run
from tests.integration.stock import CANCELLED, PAID, accept, claimed, row, settle
from worker.cli.ui.operator import operator
from worker.domain.decision import Decision
from worker.domain.states import Event, Outcome
from worker.store import Store

GAVE_UP = Decision(Event.EXHAUST, "later", "busy", outcome=Outcome.GAVE_UP)
UNKNOWN = Decision(Event.EXHAUST, "duplicate", "seen", outcome=Outcome.UNKNOWN)
WHY = ("--reason", "the bank is up again")


def end(store: Store, decision: Decision, *uids: str, partner_id: str = "P1") -> None:
    for uid in uids:
        accept(store, uid, partner_id=partner_id)
        settle(store, claimed(store, uid), decision)


def states(store: Store) -> dict[str, str]:
    return {each["partner_txn_uid"]: each["state"] for each in store.reports.jobs()}


def test_named_jobs_are_requeued_and_recorded(run: Run, stored: Store, database: str) -> None:
    end(stored, GAVE_UP, "U1", "U2")
    done = run("requeue", "U1", "U2", "U1", *WHY, KPLUS_DATABASE_URL=database)
    assert (done.code, done.err) == (0, "")
    assert done.json == {
        "dry_run": False,
        "requeued": 2,
        "reopened": 0,
        "refused": [],
        "counts": [],
    }
    assert set(states(stored).values()) == {"pending"}
    acts = [(each["target"], each["who"], each["reason"]) for each in stored.reports.actions()]
    assert acts == [("U2", operator(), WHY[1]), ("U1", operator(), WHY[1])]


def test_each_job_that_is_refused_is_named_with_its_reason(
    run: Run, stored: Store, database: str
) -> None:
    end(stored, PAID, "U1")
    end(stored, CANCELLED, "U2")
    end(stored, GAVE_UP, "U3")
    accept(stored, "U4")
    uids = ("U1", "U2", "U3", "U4", "U5")
    done = run("requeue", *uids, *WHY, "--table", KPLUS_DATABASE_URL=database)
    assert done.code == 1
    assert done.out == "1 job requeued, 4 jobs refused.\n"
    assert done.err.splitlines() == [
        "kplus-cancel requeue: U1: the customer has paid: a refund is due, not a cancel",
        "kplus-cancel requeue: U2: it succeeded (cancelled): nothing is left to do",
        "kplus-cancel requeue: U4: it is not final (pending): see `kplus-cancel why U4`",
        "kplus-cancel requeue: U5: no job is stored under 'U5'",
    ]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    run: Run, stored: Store, database: str
) -> None:
    end(stored, GAVE_UP, "U1", "U2")
    end(stored, GAVE_UP, "U3", partner_id="P2")
    given = ("requeue", "--outcome", "gave_up", *WHY, "--dry-run")
    page = run(*given, "--table", KPLUS_DATABASE_URL=database).out
    assert "3 jobs would be requeued." in page
    assert [line.split() for line in page.splitlines()[1:3]] == [
        ["gave_up", "P1", "2"],
        ["gave_up", "P2", "1"],
    ]
    told = run(*given, "--partner", "P1", KPLUS_DATABASE_URL=database).json
    assert (told["dry_run"], told["requeued"]) == (True, 2)
    assert set(states(stored).values()) == {"exhausted"}


def test_many_are_requeued_only_on_a_clear_yes(run: Run, stored: Store, database: str) -> None:
    end(stored, GAVE_UP, "U1", "U2", "U3")
    given = ("requeue", "--outcome", "gave_up", *WHY)
    done = run(*given, KPLUS_DATABASE_URL=database)
    assert done.code == 2
    assert "this would requeue 3 jobs: say --yes to do it" in done.err
    assert set(states(stored).values()) == {"exhausted"}
    told = run(*given, "--yes", "--limit", "2", KPLUS_DATABASE_URL=database).json
    assert told["requeued"] == 2
    assert told["counts"] == [{"outcome": "gave_up", "partner_id": "P1", "jobs": 2}]
    assert states(stored)["U3"] == "exhausted"


def test_many_are_narrowed_by_any_filter(run: Run, stored: Store, database: str) -> None:
    end(stored, GAVE_UP, "U1", "U2")
    given = ("requeue", "--outcome", "gave_up", *WHY, "--dry-run")
    for filters, count in (
        (("--text", "u2"), 1),
        (("--code", GAVE_UP.heard), 2),
        (("--code", "no_such_code"), 0),
        (("--older-than", "1h"), 0),
        (("--older-than", "1h", "--since", "1h"), 0),
    ):
        assert run(*given, *filters, KPLUS_DATABASE_URL=database).json["requeued"] == count
    done = run("requeue", "U1", "--code", "x", *WHY, KPLUS_DATABASE_URL=database)
    assert done.code == 2
    assert "--older-than, --text, --same-token, --limit" in done.err


def test_a_broker_that_is_away_makes_no_act_fail(run: Run, stored: Store, database: str) -> None:
    end(stored, GAVE_UP, "U1")
    settings = {"KPLUS_DATABASE_URL": database, "KPLUS_BROKER_URL": "redis://127.0.0.1:1/0"}
    assert run("requeue", "U1", *WHY, **settings).json["requeued"] == 1


def test_nothing_to_requeue_is_an_answer(run: Run, stored: Store, database: str) -> None:
    end(stored, CANCELLED, "U1")
    given = ("requeue", "--outcome", "unknown", *WHY)
    assert run(*given, KPLUS_DATABASE_URL=database).json["requeued"] == 0
    assert run(*given, "--table", KPLUS_DATABASE_URL=database).out == "No job matches.\n"


def test_an_expired_token_needs_an_inquiry_or_another_expiry(
    run: Run, stored: Store, database: str, partner: dict[str, str]
) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    accept(stored, "U1", partner_id=partner["KPLUS_PARTNER_ID"], expires_at=long_ago)
    assert stored.backlog.exhaust(most=1, inquirers=[]) == [("U1", Outcome.LAPSED)]
    settings = {**partner, "KPLUS_DATABASE_URL": database}
    done = run("requeue", "U1", *WHY, **settings)
    assert done.code == 1
    assert "no inquiry URL is configured here" in done.err
    assert "--expires never" in done.err
    inquiry = "https://bank.example/inquire"
    asked = run("requeue", "U1", *WHY, "--dry-run", **settings, KPLUS_INQUIRY_URL=inquiry)
    assert asked.json["requeued"] == 1
    assert run("requeue", "U1", *WHY, "--expires", "never", **settings).code == 0
    assert row(stored)["expires_at"] is None


def test_a_job_is_continued_under_another_uid_once(run: Run, stored: Store, database: str) -> None:
    end(stored, UNKNOWN, "U1")
    given = ("reissue", "U1", "--as", "U2", *WHY)
    done = run(*given, KPLUS_DATABASE_URL=database)
    assert done.json == {"partner_txn_uid": "U2", "continues": "U1", "changed": True}
    again = run(*given, "--table", KPLUS_DATABASE_URL=database)
    assert again.code == 0
    assert again.out.startswith("U2 already continues U1.")
    listed = run("list", "--json", KPLUS_DATABASE_URL=database).json
    links = {each["partner_txn_uid"]: (each["continues"], each["continued_by"]) for each in listed}
    assert links == {"U1": (None, "U2"), "U2": ("U1", None)}
    page = run("show", "U2", "--table", KPLUS_DATABASE_URL=database).out
    assert "continues      U1" in page
    old = run("show", "U1", "--table", KPLUS_DATABASE_URL=database).out
    assert "continued by   U2" in old


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("U1", "--as", "U9"), 1, "U2 continues it: see `kplus-cancel why U2`"),
        (("U3", "--as", "U2"), 1, "another job is stored under 'U2'"),
        (("U4", "--as", "U9"), 1, "the customer has paid"),
        (("U404", "--as", "U9"), 1, "no job is stored under 'U404'"),
        (("U3", "--as", "U 9"), 2, "--as: must be printable ASCII"),
        (("U3", "--as", "U" * 16), 2, "--as: must have at most 15 characters"),
    ],
)
def test_a_reissue_that_cannot_be_is_refused_with_the_reason(
    run: Run, stored: Store, database: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    end(stored, UNKNOWN, "U1", "U3")
    end(stored, PAID, "U4")
    settings = {"KPLUS_DATABASE_URL": database, "KPLUS_UID_LENGTH": 15}
    run("reissue", "U1", "--as", "U2", *WHY, **settings)
    done = run("reissue", *arguments, *WHY, **settings)
    assert done.code == code
    assert words in done.err.replace("partnerTxnUid: ", "")


def test_the_record_of_acts_is_shown_with_what_each_changed(
    run: Run, stored: Store, database: str
) -> None:
    end(stored, GAVE_UP, "U1")
    run("requeue", "U1", *WHY, KPLUS_DATABASE_URL=database)
    stored.actions.pause_partner("P1", who="ploy", reason="\x1bmaintenance")
    page = run("actions", "--table", KPLUS_DATABASE_URL=database).out
    assert page.index("pause_partner P1") < page.index("requeue U1")
    assert "mode active → paused" in page
    assert "state exhausted → pending, outcome gave_up → none, attempts 1 → 0" in page
    assert r"\x1bmaintenance" in page
    only = run("actions", "U1", KPLUS_DATABASE_URL=database).json
    assert [(each["action"], each["reason"]) for each in only] == [("requeue", WHY[1])]
    cut = run("actions", "--limit", "1", KPLUS_DATABASE_URL=database)
    assert "more than 1" in cut.err


def test_no_act_is_an_answer(run: Run, database: str) -> None:
    assert run("actions", KPLUS_DATABASE_URL=database).json == []
    page = run("actions", "U1", "--table", KPLUS_DATABASE_URL=database).out
    assert page == "No act on U1 is recorded.\n"
