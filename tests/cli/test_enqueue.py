"""`enqueue`: the same promises as the producers' door, told by exit code and in words."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.servers.workers import PARTNER_ID, SECRET
from worker.domain.states import State
from worker.store import Store

ORDER = ("enqueue", "--uid", "U1", "--token", "T1", "--reference1", "R 1")


def test_an_order_is_accepted_once_and_the_same_again_is_no_error(
    run: Run, partner: dict[str, str], database: str
) -> None:
    settings = {**partner, "KPLUS_DATABASE_URL": database}
    first, again = run(*ORDER, **settings), run(*ORDER, **settings)
    assert (first.code, first.json["status"], first.json["state"]) == (0, "accepted", "pending")
    assert (again.code, again.json["status"]) == (0, "duplicate")


def test_other_content_is_a_conflict_that_says_what_stands(
    run: Run, partner: dict[str, str], database: str, stored: Store
) -> None:
    settings = {**partner, "KPLUS_DATABASE_URL": database}
    run(*ORDER, **settings)
    done = run(*ORDER, "--token", "T2", **settings)
    assert done.code == 1
    assert done.json["status"] == "conflict"
    assert f"--partner {PARTNER_ID}, --token T1, --reference1 R 1 (pending)" in done.err
    assert [row.reason for row in stored.rejected_messages.latest(most=9)] == ["conflict"]
    found = stored.reports.file("U1")
    assert found is not None
    assert found.job["token_id"] == "T1"


def test_a_receipt_for_a_person_says_how_to_go_on(
    run: Run, partner: dict[str, str], database: str
) -> None:
    settings = {**partner, "KPLUS_DATABASE_URL": database}
    assert "kplus-cancel show U1" in run(*ORDER, "--table", **settings).out
    assert "accepted before" in run(*ORDER, "--table", **settings).out


@pytest.mark.parametrize("at", ["1795305600", "2026-11-22T07:00:00+07:00"])
def test_an_expiry_is_read_in_both_spellings(
    run: Run, partner: dict[str, str], database: str, stored: Store, at: str
) -> None:
    run(*ORDER, "--expires", at, **partner, KPLUS_DATABASE_URL=database)
    found = stored.reports.file("U1")
    assert found is not None
    assert found.job["expires_at"].timestamp() == 1795305600


def test_the_embedded_database_is_made_where_there_is_none(
    start: Run, partner: dict[str, str], home: Path
) -> None:
    done = start(*ORDER, **partner, KPLUS_HOME=home)
    assert done.code == 0
    assert done.json["status"] == "accepted"
    assert "0001 create the tables" in done.err
    assert start("show", "U1", KPLUS_HOME=home).json["state"] == State.PENDING
    assert home.stat().st_mode & 0o077 == 0
    assert SECRET not in done.all()


def test_a_configured_database_is_not_touched_by_an_order(
    run: Run, partner: dict[str, str], empty_database: str
) -> None:
    done = run(*ORDER, **partner, KPLUS_DATABASE_URL=empty_database)
    assert done.code == 4
    assert "kplus-cancel db upgrade" in done.err


def test_a_broker_that_is_away_delays_no_order(
    run: Run, partner: dict[str, str], database: str
) -> None:
    broker = "redis://:hidden-9d2e@127.0.0.1:1/0"
    done = run(*ORDER, **partner, KPLUS_DATABASE_URL=database, KPLUS_BROKER_URL=broker)
    assert done.code == 0
    assert done.json["status"] == "accepted"
    assert "hint_not_sent" in done.err
    assert "hidden-9d2e" not in done.all()


def test_a_partner_nobody_configured_here_is_accepted_and_pointed_out(
    run: Run, partner: dict[str, str], database: str
) -> None:
    done = run(*ORDER, "--partner", "P9", **partner, KPLUS_DATABASE_URL=database)
    assert done.code == 0
    assert "P9 is not configured here" in done.err
    assert "P9 is not configured here" in done.json["warning"]


def test_a_partner_nobody_configured_here_is_refused_where_a_setting_says_so(
    run: Run, partner: dict[str, str], database: str
) -> None:
    settings = {**partner, "KPLUS_DATABASE_URL": database, "KPLUS_UNKNOWN_PARTNER": "refuse"}
    done = run(*ORDER, "--partner", "P9", **settings)
    assert done.code == 2
    assert "--partner: partner P9 is not configured here" in done.err
