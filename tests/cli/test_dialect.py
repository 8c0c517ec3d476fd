"""`dialect`: words that nobody has taught the worker, and what happens once somebody does."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.integration.stock import execute
from tests.servers.workers import PARTNER_ID
from worker.cli.ui.operator import operator
from worker.domain.answer import Answer
from worker.domain.decision import Decision
from worker.domain.kplus import Envelope, TokenEntry
from worker.domain.partners import Roster
from worker.domain.states import Event
from worker.store import Evidence, Store

DOUBT = Decision(Event.DOUBT, "unknown_code", "not in the dialect", wait=timedelta(hours=1))


TAUGHT = """
[error_codes]
token_frozen = "already_cancelled"
token_used = "paid"
[statuses]
REVOKED = "cancelled"
"""
WHY = ("--reason", "the bank explained its words")
FROZEN = Envelope(error_code="token_frozen", error_desc="frozen (EMFZ)", short_code="EMFZ")
USED = Envelope(error_code="token_used")


def revoked(*status: str) -> Envelope:
    return Envelope(status_code="00", tokens=(TokenEntry("T", "R", status),))


def hears(store: Store, uid: str, *envelopes: Envelope) -> None:
    order = {"uid": uid, "partner_id": PARTNER_ID, "token_id": "T", "reference1": "R"}
    store.jobs.accept({**order, "expires_at": None}, hinted=False)
    for envelope in envelopes:
        execute(store, "UPDATE cancel_jobs SET next_attempt_at = created_at")
        claim = store.jobs.claim(uid, lease=timedelta(seconds=60), roster=Roster({}))
        assert claim is not None
        evidence = Evidence(uid, timedelta(0), Answer(200, envelope))
        heard = "unknown_status" if envelope.tokens else "unknown_code"
        assert store.jobs.settle(claim, replace(DOUBT, heard=heard), evidence)


def states(store: Store) -> dict[str, tuple[str, str | None]]:
    jobs = store.reports.jobs()
    return {each["partner_txn_uid"]: (each["state"], each["outcome"]) for each in jobs}


def sits_at(monkeypatch: pytest.MonkeyPatch, says: Callable[..., str]) -> None:
    """Let a person sit at the terminal."""
    terminal = StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(terminal, "readline", says)
    monkeypatch.setattr("sys.stdin", terminal)


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A dialect file that teaches three words."""
    path = tmp_path / "dialect.toml"
    path.write_text(TAUGHT)
    return str(path)


def test_words_that_nobody_knows_are_listed_until_they_are_taught(
    run: Run, partner: dict[str, str], database: str, stored: Store, tmp_path: Path
) -> None:
    settings = {**partner, "KPLUS_DATABASE_URL": database}
    assert run("dialect", "unknown", **settings).json == []
    assert "knows every word" in run("dialect", "unknown", "--table", **settings).out
    began = datetime.now(UTC).replace(microsecond=0)
    for uid in ("U1", "U2"):
        hears(stored, uid, Envelope(error_code="token_frozen", error_desc="frozen (EMFZ)"))
    hears(stored, "U3", revoked("FROZEN"))
    rows = run("dialect", "unknown", **settings).json
    assert [(row["kind"], row["word"], row["times"], row["in_doubt"]) for row in rows] == [
        ("error code", "token_frozen", 2, 2),
        ("token status", "FROZEN", 1, 1),
    ]
    assert rows[0]["example"] in {"U1", "U2"}
    since = datetime.fromisoformat(rows[0]["last_at"])
    assert began <= since <= datetime.now(UTC)
    page = run("dialect", "unknown", "--table", **settings).out
    assert "token_frozen" in page
    assert "frozen (EMFZ)" in page

    taught = tmp_path / "dialect.toml"
    taught.write_text('[error_codes]\ntoken_frozen = "refused"\n')
    left = run("dialect", "unknown", **settings, KPLUS_DIALECT_FILE=str(taught)).json
    assert [row["word"] for row in left] == ["FROZEN"]


def test_a_word_is_known_once_its_short_code_is_taught(
    run: Run, database: str, stored: Store, tmp_path: Path
) -> None:
    hears(stored, "U1", FROZEN)
    hears(stored, "U2", replace(FROZEN, short_code="EMX"))
    taught = tmp_path / "dialect.toml"
    taught.write_text('[short_codes]\nEMFZ = "already_cancelled"\n')
    settings = {"KPLUS_DATABASE_URL": database, "KPLUS_DIALECT_FILE": str(taught)}
    rows = run("dialect", "unknown", **settings).json
    assert [(row["word"], row["short_code"]) for row in rows] == [("token_frozen", "EMX")]


def test_beside_each_unknown_word_stands_what_would_help(
    run: Run, database: str, stored: Store
) -> None:
    hears(stored, "U1", FROZEN)
    hears(stored, "U2", Envelope(status_code="10"))
    hears(stored, "U3", Envelope(status_code="10", short_code="KP9"))
    hears(stored, "U4", revoked("GONE AWAY", "CANCELLED", "\ufffd"))
    rows = run("dialect", "unknown", KPLUS_DATABASE_URL=database).json
    helps = {row["example"]: [lesson["line"] for lesson in row["help"]] for row in rows}
    assert helps == {
        "U1": ['token_frozen = "VERDICT"', 'EMFZ = "VERDICT"'],
        "U2": [None],
        "U3": ['KP9 = "VERDICT"'],
        "U4": ['"GONE AWAY" = "VERDICT"', None, None],
    }
    page = run("dialect", "unknown", "--table", KPLUS_DATABASE_URL=database).out
    for told in (
        "token_frozen (EMFZ)",
        '    → token_frozen = "VERDICT"',
        "under [error_codes]:",
        "under [short_codes]:",
        "under [statuses]:",
        "`kplus-cancel show U2` has it.",
        "a form that cannot be read: ask the bank.",
        "It stood in a list of several",
        "kplus-cancel dialect test FILE",
        "kplus-cancel dialect apply --reason WHY",
    ):
        assert told in page


def test_a_file_is_tried_on_stored_answers_before_anybody_believes_it(
    run: Run, database: str, stored: Store, file: str
) -> None:
    hears(stored, "U1", FROZEN, FROZEN)
    hears(stored, "U2", USED)
    hears(stored, "U3", revoked("REVOKED"))
    hears(stored, "U4", revoked("REVOKED", "CANCELLED"))
    hears(stored, "U5", FROZEN, USED)
    before = states(stored)
    done = run("dialect", "test", file, KPLUS_DATABASE_URL=database)
    assert (done.code, done.err) == (0, "")
    told = done.json
    assert (told["file"], told["answers"], told["judged_again"]) == (file, 7, 6)
    names = ("kind", "word", "short_code", "then", "now", "answers", "jobs", "in_doubt")
    assert [tuple(row[name] for name in names) for row in told["changes"]] == [
        ("error code", "token_frozen", "EMFZ", "unknown_code", "already_cancelled", 3, 2, 2),
        ("error code", "token_used", None, "unknown_code", "paid", 2, 2, 2),
        ("token status", "REVOKED", None, "unknown_status", "cancelled", 1, 1, 1),
    ]
    assert [row["example"] for row in told["changes"]] == ["U1", "U2", "U3"]
    assert {row["outcome"]: row["jobs"] for row in told["would_end"]} == {
        "already_cancelled": 1,
        "cancelled": 1,
        "paid": 1,
    }
    assert told["contradicting"] == {"jobs": 1, "example": "U5"}
    page = run("dialect", "test", file, "--table", KPLUS_DATABASE_URL=database).out
    assert "6 stored answers were judged again; 1 more keeps its judgement" in page
    assert "`kplus-cancel dialect apply` would end 3 jobs in doubt: " in page
    assert "1 job stays in doubt, for its answers contradict each other" in page
    assert states(stored) == before


def test_a_file_that_changes_nothing_says_so(
    run: Run, database: str, stored: Store, tmp_path: Path
) -> None:
    hears(stored, "U1", FROZEN)
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    told = run("dialect", "test", str(empty), KPLUS_DATABASE_URL=database).json
    assert (told["answers"], told["changes"], told["would_end"]) == (1, [], [])
    page = run("dialect", "test", str(empty), "--table", KPLUS_DATABASE_URL=database).out
    assert page.splitlines() == [
        "Nothing would be judged otherwise. 1 stored answer was judged again.",
        "`kplus-cancel dialect apply` would end no job.",
    ]


def test_a_change_that_is_about_final_jobs_names_one_in_doubt_where_there_is_one(
    run: Run, database: str, stored: Store, file: str
) -> None:
    hears(stored, "U1", FROZEN)
    hears(stored, "U2", FROZEN)
    settings = {"KPLUS_DATABASE_URL": database, "KPLUS_DIALECT_FILE": file}
    run("dialect", "apply", *WHY, "--yes", "--limit", "1", **settings)
    (change,) = run("dialect", "test", file, KPLUS_DATABASE_URL=database).json["changes"]
    assert (change["jobs"], change["in_doubt"], change["example"]) == (2, 1, "U2")


def test_a_wrong_file_is_told_by_key(run: Run, database: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[error_codes]\ntoken_frozen = "gone"\n')
    done = run("dialect", "test", str(wrong), KPLUS_DATABASE_URL=database)
    assert done.code == 3
    assert f"FILE: {wrong}: error_codes.token_frozen: must be 'already_can" in done.err
    settings = {"KPLUS_DATABASE_URL": database, "KPLUS_DIALECT_FILE": str(wrong)}
    assert "KPLUS_DIALECT_FILE: " in run("dialect", "apply", *WHY, **settings).err
    assert run("dialect", "test", str(tmp_path / "none"), KPLUS_DATABASE_URL=database).code == 3
    assert run("dialect", "test", KPLUS_DATABASE_URL=database).code == 2


def test_jobs_in_doubt_end_by_what_is_understood_now(
    run: Run, database: str, stored: Store, file: str
) -> None:
    hears(stored, "U1", FROZEN)
    hears(stored, "U2", USED)
    hears(stored, "U3", Envelope(error_code="still_unknown"))
    hears(stored, "U4", FROZEN, USED)
    settings = {"KPLUS_DATABASE_URL": database, "KPLUS_DIALECT_FILE": file}
    dry = run("dialect", "apply", *WHY, "--dry-run", **settings)
    assert dry.json == {
        "dry_run": True,
        "dialect_file": file,
        "ended": 2,
        "moved_on": 0,
        "counts": [
            {"outcome": "already_cancelled", "partner_id": PARTNER_ID, "jobs": 1},
            {"outcome": "paid", "partner_id": PARTNER_ID, "jobs": 1},
        ],
        "contradicting": {"jobs": 1, "example": "U4"},
    }
    assert {state for state, _ in states(stored).values()} == {"in_doubt"}
    page = run("dialect", "apply", *WHY, "--dry-run", "--table", **settings).out
    assert f"({file})" in page
    assert "2 jobs would end." in page

    done = run("dialect", "apply", *WHY, "--yes", **settings)
    assert (done.code, done.json["ended"], done.json["dry_run"]) == (0, 2, False)
    assert states(stored) == {
        "U1": ("succeeded", "already_cancelled"),
        "U2": ("refused", "paid"),
        "U3": ("in_doubt", None),
        "U4": ("in_doubt", None),
    }
    acts = [(each["target"], each["who"], each["reason"]) for each in stored.reports.actions()]
    assert acts == [("U2", operator(), WHY[1]), ("U1", operator(), WHY[1])]
    story = run("why", "U1", **settings).json["happened"]
    told = "conversation 1: unknown code, understood now as already cancelled"
    assert any(told in sentence for sentence in story)

    again = run("dialect", "apply", *WHY, "--table", **settings)
    assert again.code == 0
    assert "No job in doubt has an answer that says" in again.out
    assert "1 job stays in doubt" in again.out


def test_many_end_only_on_a_clear_yes(run: Run, database: str, stored: Store, file: str) -> None:
    for uid in ("U1", "U2", "U3"):
        hears(stored, uid, FROZEN)
    settings = {"KPLUS_DATABASE_URL": database, "KPLUS_DIALECT_FILE": file}
    done = run("dialect", "apply", *WHY, **settings)
    assert done.code == 2
    assert "this would end 3 jobs: say --yes to do it" in done.err
    assert {state for state, _ in states(stored).values()} == {"in_doubt"}
    assert run("dialect", "apply", "--yes", **settings).code == 2
    some = run("dialect", "apply", *WHY, "--yes", "--limit", "2", "--table", **settings)
    assert "2 jobs ended." in some.out
    assert [state for state, _ in states(stored).values()].count("succeeded") == 2


def test_a_job_that_moved_on_meanwhile_is_a_result_and_no_error(
    run: Run, database: str, stored: Store, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker claims it between the count and the act: while the person makes up their mind."""
    hears(stored, "U1", FROZEN)
    hears(stored, "U2", FROZEN)

    def hesitates(*_: int) -> str:
        execute(stored, "UPDATE cancel_jobs SET next_attempt_at = created_at")
        assert stored.jobs.claim("U2", lease=timedelta(seconds=60), roster=Roster({}))
        return "y\n"

    sits_at(monkeypatch, hesitates)
    settings = {"KPLUS_DATABASE_URL": database, "KPLUS_DIALECT_FILE": file}
    done = run("dialect", "apply", *WHY, "--table", **settings)
    assert done.code == 0
    assert "End 2 jobs?" in done.err
    assert done.out.splitlines()[-1] == "1 job ended; 1 job had moved on meanwhile."
    assert states(stored) == {"U1": ("succeeded", "already_cancelled"), "U2": ("in_flight", None)}


def test_whoever_does_not_say_yes_changes_nothing(
    run: Run, database: str, stored: Store, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears(stored, "U1", FROZEN)
    sits_at(monkeypatch, lambda *_: "n\n")
    settings = {"KPLUS_DATABASE_URL": database, "KPLUS_DIALECT_FILE": file}
    done = run("dialect", "apply", *WHY, "--table", **settings)
    assert done.code == 1
    assert "Nothing was done." in done.err
    assert states(stored) == {"U1": ("in_doubt", None)}
