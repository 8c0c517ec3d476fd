"""`db upgrade` and `db check`: nothing where nothing is missing, once however many ask."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import text

from tests.cli.conftest import Run
from worker.store import open_database

CHECK = ("db", "check", "--json")
UPGRADE = ("db", "upgrade", "--json")


def execute(url: str, statement: str) -> None:
    database = open_database(url)
    with database.writing() as connection:
        connection.execute(text(statement))
    database.close()


def test_an_empty_database_is_brought_up_to_date_and_then_left_alone(
    run: Run, empty_database: str
) -> None:
    before = run(*CHECK, KPLUS_DATABASE_URL=empty_database)
    assert (before.code, before.json["current"]) == (1, None)
    assert "cancel_jobs" in before.json["missing_tables"]
    first = run(*UPGRADE, KPLUS_DATABASE_URL=empty_database)
    assert first.json["applied"][0] == "0001 create the tables"
    assert run(*UPGRADE, KPLUS_DATABASE_URL=empty_database).json["applied"] == []
    after = run(*CHECK, KPLUS_DATABASE_URL=empty_database)
    assert (after.code, after.json["up_to_date"]) == (0, True)
    assert run("db", "check", "--table", KPLUS_DATABASE_URL=empty_database).out.startswith("✓")


def test_upgrades_at_the_same_time_run_each_migration_once(start: Run, empty_database: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        going = [pool.submit(start, *UPGRADE, KPLUS_DATABASE_URL=empty_database) for _ in range(3)]
        done = [each.result() for each in going]
    assert [each.code for each in done] == [0, 0, 0], [each.err for each in done]
    applied = [revision for each in done for revision in each.json["applied"]]
    assert len(applied) == len(set(applied))
    assert "0001 create the tables" in applied


def test_a_missing_table_is_named(run: Run, database: str) -> None:
    execute(database, "DROP TABLE operator_actions")
    done = run("db", "check", "--table", KPLUS_DATABASE_URL=database)
    assert done.code == 1
    assert "table operator_actions" in done.out


def test_a_schema_of_a_newer_release_is_good_enough_and_left_alone(run: Run, database: str) -> None:
    execute(database, "UPDATE kplus_cancel_version SET version_num = '9999'")
    done = run(*CHECK, KPLUS_DATABASE_URL=database)
    assert (done.code, done.json["newer_than_this_program"]) == (0, True)
    assert run(*UPGRADE, KPLUS_DATABASE_URL=database).json["applied"] == []


def test_a_check_makes_no_file(run: Run, home: Path) -> None:
    done = run("db", "check", "--table")
    assert done.code == 1
    assert "no schema yet: run `kplus-cancel db upgrade`" in done.out
    assert not home.exists()


def test_an_upgrade_makes_the_home_for_its_owner_alone(run: Run, home: Path) -> None:
    assert run("db", "upgrade").code == 0
    assert home.stat().st_mode & 0o077 == 0
    assert (home / "kplus-cancel.db").exists()


def test_a_database_out_of_reach_is_no_schema_that_is_missing(run: Run) -> None:
    done = run("db", "check", KPLUS_DATABASE_URL="postgresql://u@127.0.0.1:1/d")
    assert done.code == 4
