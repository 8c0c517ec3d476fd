"""`discard` ends jobs that nobody can serve; `seen` marks ends that a person has seen."""

import pytest

from tests.cli.conftest import Run
from tests.cli.test_requeue import GAVE_UP, end, states
from tests.integration.stock import CANCELLED, LOST, PAID, accept, claimed, row, settle
from worker.cli.ui.operator import operator
from worker.store import Store

WHY = ("--reason", "a mistyped partner")


def test_named_jobs_are_discarded_and_recorded(run: Run, stored: Store, database: str) -> None:
    accept(stored, "U1", "U2")
    settle(stored, claimed(stored, "U2"), LOST)
    done = run("discard", "U1", "U2", "U1", *WHY, KPLUS_DATABASE_URL=database)
    assert (done.code, done.err) == (0, "")
    assert done.json == {
        "dry_run": False,
        "discarded": 2,
        "outcomes": {"gave_up": 1, "unknown": 1},
        "refused": [],
        "counts": [],
    }
    acts = [(each["action"], each["who"], each["reason"]) for each in stored.reports.actions()]
    assert acts == [("discard", operator(), WHY[1])] * 2


def test_each_job_that_is_not_discarded_is_named_with_its_reason(
    run: Run, stored: Store, database: str
) -> None:
    end(stored, PAID, "U1")
    accept(stored, "U2", "U3")
    claimed(stored, "U2")
    done = run("discard", "U1", "U2", "U3", "U4", *WHY, "--table", KPLUS_DATABASE_URL=database)
    assert done.code == 1
    assert done.out == "1 job discarded: gave_up 1; 3 jobs refused.\n"
    asked = "a worker asks the bank about it now: wait for that call, and try again"
    assert done.err.splitlines() == [
        "kplus-cancel discard: U1: it is final already (refused, outcome paid)",
        f"kplus-cancel discard: U2: {asked}",
        "kplus-cancel discard: U4: no job is stored under 'U4'",
    ]


def test_many_are_discarded_only_on_a_clear_yes(run: Run, stored: Store, database: str) -> None:
    accept(stored, "U1", "U2", partner_id="KP-TYPO")
    accept(stored, "U3")
    given = ("discard", "--partner", "KP-TYPO", *WHY)
    done = run(*given, KPLUS_DATABASE_URL=database)
    assert done.code == 2
    assert "this would discard 2 jobs: say --yes to do it" in done.err
    dry = run(*given, "--dry-run", KPLUS_DATABASE_URL=database)
    assert (dry.code, dry.json["discarded"]) == (0, 2)
    assert set(states(stored).values()) == {"pending"}
    page = run(*given, "--yes", "--limit", "1", "--table", KPLUS_DATABASE_URL=database).out
    assert page.splitlines()[-1] == "1 job discarded: gave_up 1."
    assert run(*given, "--yes", KPLUS_DATABASE_URL=database).json["discarded"] == 1
    assert states(stored) == {"U1": "exhausted", "U2": "exhausted", "U3": "pending"}
    assert run(*given, "--table", KPLUS_DATABASE_URL=database).out == "No job matches.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name jobs by UID, or choose them by a filter"),
        (("U1", "--partner", "P1"), "name jobs by UID, or choose them by a filter"),
        (("U1", "--limit", "1"), "name jobs by UID, or choose them by a filter"),
        (("--limit", "1"), "name jobs by UID, or choose them by a filter"),
        (("--state", "succeeded"), "a job that is succeeded has ended already"),
    ],
)
def test_nothing_is_discarded_by_accident(
    run: Run, stored: Store, database: str, arguments: tuple[str, ...], words: str
) -> None:
    accept(stored, "U1")
    done = run("discard", *arguments, *WHY, "--yes", KPLUS_DATABASE_URL=database)
    assert done.code == 2
    assert words in done.err
    assert row(stored)["state"] == "pending"


def test_what_was_discarded_is_explained(run: Run, stored: Store, database: str) -> None:
    accept(stored, "U1")
    run("discard", "U1", *WHY, KPLUS_DATABASE_URL=database)
    told = run("why", "U1", KPLUS_DATABASE_URL=database).json
    assert any(each.startswith("Discarded by ") for each in told["happened"])


def test_the_ends_of_named_jobs_are_marked_as_seen(run: Run, stored: Store, database: str) -> None:
    end(stored, PAID, "U1")
    end(stored, CANCELLED, "U2")
    dry = run("seen", "U1", "--reason", "refunded", "--dry-run", KPLUS_DATABASE_URL=database)
    assert dry.json["seen"] == 1
    done = run("seen", "U1", "U2", "--reason", "refunded", KPLUS_DATABASE_URL=database)
    assert (done.code, done.json["seen"]) == (1, 1)
    assert "U2: its outcome cancelled needs nobody" in done.err
    again = run("seen", "U1", "--reason", "refunded", KPLUS_DATABASE_URL=database)
    assert (again.code, again.json["seen"]) == (0, 0)
    told = run("why", "U1", KPLUS_DATABASE_URL=database).json
    assert any(each.startswith("Seen by ") for each in told["happened"])


def test_many_are_marked_as_seen_only_on_a_clear_yes(
    run: Run, stored: Store, database: str
) -> None:
    end(stored, GAVE_UP, "U1", "U2")
    given = ("seen", "--outcome", "gave_up", "--reason", "requeued by hand")
    done = run(*given, KPLUS_DATABASE_URL=database)
    assert done.code == 2
    assert "this would mark as seen 2 jobs" in done.err
    listed = run("list", "--unseen", KPLUS_DATABASE_URL=database).json
    assert len(listed) == 2
    page = run(*given, "--yes", "--table", KPLUS_DATABASE_URL=database).out
    assert "2 jobs marked as seen: gave_up 2." in page
    assert run("list", "--unseen", KPLUS_DATABASE_URL=database).json == []
    page = run(*given, "--yes", "--table", KPLUS_DATABASE_URL=database).out
    assert page == "There is nothing that nobody has seen.\n"
