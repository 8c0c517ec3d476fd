"""`show`, `list` and `stats` say what is stored, in two forms, on both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.conftest import Done, Run
from tests.integration.stock import (
    ANSWERED,
    BUSY,
    CANCELLED,
    LOST,
    OURS,
    accept,
    answer,
    claimed,
    evidence,
    execute,
    settle,
)
from worker.domain.kplus import TokenEntry
from worker.domain.states import Outcome, State
from worker.store import Store

LIST = ("list", "--json")


def uids(done: Done) -> list[str]:
    return [row["partner_txn_uid"] for row in done.json]


def test_show_tells_a_final_job_with_its_evidence(run: Run, stored: Store, database: str) -> None:
    accept(stored, "U1")
    settle(stored, claimed(stored), CANCELLED, ANSWERED)
    shown = run("show", "U1", "--json", KPLUS_DATABASE_URL=database)
    assert shown.code == 0
    job = shown.json
    assert (job["state"], job["outcome"], job["token_status"]) == (
        "succeeded",
        "cancelled",
        "CANCELLED",
    )
    assert [row["heard"] for row in job["cancel_attempts"]] == ["cancelled"]
    assert [row["token_id"] for row in job["token_statuses"]] == ["T-U1"]
    assert job["next"] == [
        "The bank cancelled the token.",
        "Nothing: this is final. The order system releases the stock.",
    ]
    assert datetime.fromisoformat(job["finished_at"]).utcoffset() == timedelta(0)
    assert job["finished_at"].endswith("Z")


def test_show_prints_a_page_for_a_person(run: Run, stored: Store, database: str) -> None:
    accept(stored, "U1", expires_at=datetime.now(UTC) + timedelta(minutes=30))
    busy = replace(BUSY, wait=timedelta(minutes=20))
    settle(stored, claimed(stored), busy, evidence(answer(status_code="10", error_code="busy")))
    page = run("show", "U1", "--table", KPLUS_DATABASE_URL=database).out
    for words in (
        "retryable",
        "outcome        none yet",
        "1 of 20 spent",
        "The bank is asked again at",
        "ends as lapsed at",
        "after 19 more attempts",
        "later → retry",
        "HTTP 200, statusCode 10, errorCode busy",
        "120 ms",
    ):
        assert words in page
    assert "\x1b" not in page


def test_show_names_the_pause_that_holds_a_job_and_its_end(
    run: Run, stored: Store, database: str
) -> None:
    accept(stored, "U1")
    settle(stored, claimed(stored), OURS)
    page = run("show", "U1", "--table", KPLUS_DATABASE_URL=database).out
    assert "Nothing until partner P1 is resumed. It is paused since" in page
    assert "by a worker: wrong key." in page
    assert "kplus-cancel partners resume P1 --reason WHY" in page
    assert "not counted as an attempt" in page


def test_show_of_a_job_nobody_stored_is_a_no(run: Run, database: str) -> None:
    done = run("show", "U404", KPLUS_DATABASE_URL=database)
    assert done.code == 1
    assert "no job is stored under 'U404'" in done.err
    assert done.out == ""


def test_what_the_bank_wrote_is_shown_and_not_obeyed(
    run: Run, stored: Store, database: str
) -> None:
    """A terminal obeys escape sequences; the bank's texts may hold some."""
    accept(stored, "U1")
    entry = TokenEntry("T-U1", "[red]\x9b31m", ("\x1b[2Jกก",))
    heard = evidence(answer(entry, error_desc="\x1b]0;owned\x07 [bold]"))
    settle(stored, claimed(stored), LOST, heard)
    page = run("show", "U1", "--table", KPLUS_DATABASE_URL=database).out
    assert not {"\x1b", "\x07", "\x9b"} & set(page)
    assert r"\x1b]0;owned\x07 [bold]" in page
    assert r"\x1b[2Jกก" in page
    assert r"[red]\x9b31m" in page
    printed = run("show", "U1", "--json", KPLUS_DATABASE_URL=database)
    assert "\x9b" not in printed.out
    assert printed.json["token_statuses"][0]["reference1"] == "[red]\x9b31m"


def test_an_entry_of_another_token_is_marked(run: Run, stored: Store, database: str) -> None:
    accept(stored, "U1")
    settle(stored, claimed(stored), LOST, evidence(answer(TokenEntry("T9", None, None))))
    page = run("show", "U1", "--table", KPLUS_DATABASE_URL=database).out
    assert "T9 (not this job's token)" in page


def test_list_is_json_where_nobody_watches(run: Run, stored: Store, database: str) -> None:
    accept(stored, "U1", "U2")
    assert sorted(uids(run("list", KPLUS_DATABASE_URL=database))) == ["U1", "U2"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (("--state", "pending"), {"U1", "U2"}),
        (("--state", "succeeded"), {"U3"}),
        (("--outcome", "cancelled"), {"U3"}),
        (("--outcome", "paid"), set()),
        (("--partner", "P2"), {"U2"}),
        (("--partner", "P1", "--state", "pending"), {"U1"}),
        (("--since", "1h"), {"U1", "U2", "U3"}),
        (("--older-than", "1h"), set()),
        (("--older-than", "2090-01-01T00:00:00+07:00"), {"U1", "U2", "U3"}),
        (("--code", "cancelled"), {"U3"}),
        (("--text", "u2"), {"U2"}),
        (("--text", "u_"), set()),
        (("--since", "2090-01-01T00:00:00+07:00"), set()),
        (("--limit", "3"), {"U1", "U2", "U3"}),
    ],
    ids=lambda each: " ".join(sorted(each)) or "none",
)
def test_every_filter_narrows_the_list(
    run: Run, stored: Store, database: str, filters: tuple[str, ...], found: set[str]
) -> None:
    accept(stored, "U1", "U3")
    accept(stored, "U2", partner_id="P2")
    settle(stored, claimed(stored, "U3"), CANCELLED)
    done = run(*LIST, *filters, KPLUS_DATABASE_URL=database)
    assert set(uids(done)) == found
    assert done.code == 0
    assert done.err == ""


def test_a_list_that_is_cut_says_so_beside_it(run: Run, stored: Store, database: str) -> None:
    accept(stored, "U1", "U2")
    done = run(*LIST, "--limit", "1", KPLUS_DATABASE_URL=database)
    assert len(done.json) == 1
    assert "more than 1" in done.err


def test_the_list_says_which_jobs_wait_for_their_partner(
    run: Run, stored: Store, database: str
) -> None:
    """A job that is due and does not move looks like a worker that has stopped."""
    accept(stored, "U1")
    assert " due" in run("list", "--table", KPLUS_DATABASE_URL=database).out
    stored.actions.pause_partner("P1", who="me", reason="why")
    assert "partner paused" in run("list", "--table", KPLUS_DATABASE_URL=database).out


def test_a_piped_table_keeps_each_job_on_one_line(run: Run, stored: Store, database: str) -> None:
    accept(stored, "U" * 64, partner_id="P" * 64)
    head, line = run("list", "--table", KPLUS_DATABASE_URL=database).out.splitlines()
    assert head.startswith("partnerTxnUid")
    assert line.startswith("U" * 64)
    assert "P" * 64 in line


def test_an_empty_list_is_an_answer(run: Run, database: str) -> None:
    assert run(*LIST, KPLUS_DATABASE_URL=database).json == []
    assert "No job" in run("list", "--table", KPLUS_DATABASE_URL=database).out


def test_stats_counts_every_state_and_outcome(run: Run, stored: Store, database: str) -> None:
    began = datetime.now(UTC)
    accept(stored, "U1", "U2", "U3")
    settle(stored, claimed(stored, "U3"), CANCELLED)
    claimed(stored, "U2")
    told = run("stats", "--json", KPLUS_DATABASE_URL=database).json
    assert set(told["states"]) == {*State}
    assert set(told["outcomes"]) == {*Outcome}
    assert (told["states"]["pending"], told["states"]["in_flight"]) == (1, 1)
    assert told["outcomes"]["cancelled"] == 1
    assert (told["due"], told["attempts"], told["attention"]) == (1, 2, [])
    assert 0 <= told["oldest_due_seconds"] <= (datetime.now(UTC) - began).total_seconds()
    page = run("stats", "--table", KPLUS_DATABASE_URL=database).out
    assert "✓ Nothing needs attention." in page


def _wait_three_hours(store: Store, *, silent: bool = False) -> None:
    """Put the jobs' times back: due since then, or claimed by a worker that fell silent."""
    ago = datetime.now(UTC) - timedelta(hours=3, minutes=20)
    name = "lease_ends_at" if silent else "next_attempt_at"
    fields = {name: ago, "created_at": ago, "updated_at": ago}
    changed = ", ".join(f"{name} = :{name}" for name in fields)
    naive = store.database.is_sqlite
    times = {
        name: at.replace(tzinfo=None).isoformat(" ") if naive else at for name, at in fields.items()
    }
    execute(store, f"UPDATE cancel_jobs SET {changed}", **times)  # noqa: S608 - names of ours


def test_stats_tells_an_operator_what_needs_a_person(
    run: Run, stored: Store, database: str
) -> None:
    accept(stored, "U1")
    _wait_three_hours(stored)
    stored.actions.pause_partner("P2", who="me", reason="the bank asked us to")
    told = run("stats", "--json", KPLUS_DATABASE_URL=database).json
    paused, late = told["attention"]
    assert "P2 is paused" in paused["what"]
    assert "the bank asked us to" in paused["what"]
    assert paused["command"] == "kplus-cancel partners resume P2 --reason WHY"
    assert "has waited 3 h" in late["what"]
    assert late["command"] == "kplus-cancel doctor"
    assert [row["partner_id"] for row in told["partners_not_active"]] == ["P2"]
    page = run("stats", "--table", KPLUS_DATABASE_URL=database).out
    assert "✗ Partner P2 is paused" in page


def test_stats_tells_of_claims_whose_worker_fell_silent(
    run: Run, stored: Store, database: str
) -> None:
    accept(stored, "U1")
    claimed(stored)
    _wait_three_hours(stored, silent=True)
    told = run("stats", "--json", KPLUS_DATABASE_URL=database).json
    assert told["in_flight_past_lease"] == 1
    assert "fell silent" in told["attention"][0]["what"]
    assert "fell silent" in run("show", "U1", KPLUS_DATABASE_URL=database).json["next"][0]


def test_a_token_that_two_jobs_name_is_told_where_an_operator_looks(
    run: Run, stored: Store, database: str
) -> None:
    for uid in ("U1", "U2"):
        accept(stored, uid, token_id="T")
        claimed(stored, uid)
    told = run("stats", "--json", KPLUS_DATABASE_URL=database).json
    assert told["same_token"] == 1
    (item,) = told["attention"]
    assert "names a token that another job names as well" in item["what"]
    words = item["command"].removeprefix("kplus-cancel ").split()
    listed = run(*words, "--json", KPLUS_DATABASE_URL=database).json
    assert [job["partner_txn_uid"] for job in listed] == ["U2"]
    shown = run("show", "U1", "--json", KPLUS_DATABASE_URL=database).json
    assert [other["partner_txn_uid"] for other in shown["named_with"]] == ["U2"]
    page = run("show", "U1", "--table", KPLUS_DATABASE_URL=database).out
    assert "token also of" in page
    checks = run("doctor", "--json", KPLUS_DATABASE_URL=database).json["checks"]
    (found,) = [each for each in checks if each["check"] == "tokens"]
    assert (found["ok"], "list --same-token" in found["remedy"]) == (False, True)
