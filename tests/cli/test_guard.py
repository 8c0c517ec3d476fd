"""The guard of pruned uids: another one than this release's is named, and an upgrade mends it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.servers.schema import ROOT, migrate
from worker.store import open_database

FUNCTION = "kplus_skip_pruned"
RULES = "kplus_job_is_sound"
NOWHERE = {"KPLUS_BANK_URL": "http://127.0.0.1:1/v1", "KPLUS_BROKER_URL": "redis://127.0.0.1:1/0"}
OLD = ROOT / "migrations" / "versions" / "0004_remember_what_was_pruned.py"


def _old() -> str:
    """Return the function as version 0004 made it, and as a dump of then holds it."""
    made = OLD.read_text(encoding="utf-8").split('_FUNCTION = """')[1].split('"""')[0]
    return made.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


ON_POSTGRESQL: dict[str, str] = {
    "the function of an older dump": _old(),
    "a function that everybody may use": f"GRANT EXECUTE ON FUNCTION {FUNCTION}() TO PUBLIC",
    "a function with the caller's path": f"ALTER FUNCTION {FUNCTION}() RESET search_path",
    "a function with another path": f"ALTER FUNCTION {FUNCTION}() SET search_path TO public",
    "a function that scans": f"ALTER FUNCTION {FUNCTION}() RESET enable_seqscan",
    "a function with the caller's rights": f"ALTER FUNCTION {FUNCTION}() SECURITY INVOKER",
    "a function that lets all pass": (
        f"CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RETURN NEW; END $$"
    ),
    "a trigger that is switched off": f"ALTER TABLE cancel_jobs DISABLE TRIGGER {FUNCTION}",
    "all triggers switched off": "ALTER TABLE cancel_jobs DISABLE TRIGGER ALL",
    "a trigger for replicas alone": f"ALTER TABLE cancel_jobs ENABLE REPLICA TRIGGER {FUNCTION}",
    "a trigger for some rows": (
        f"CREATE OR REPLACE TRIGGER {FUNCTION} BEFORE INSERT ON cancel_jobs"
        f" FOR EACH ROW WHEN (NEW.doubted) EXECUTE FUNCTION {FUNCTION}()"
    ),
    "a trigger that comes too late": (
        f"CREATE OR REPLACE TRIGGER {FUNCTION} AFTER INSERT ON cancel_jobs"
        f" FOR EACH ROW EXECUTE FUNCTION {FUNCTION}()"
    ),
    "no trigger": f"DROP TRIGGER {FUNCTION} ON cancel_jobs",
    "rules with the caller's path": f"ALTER FUNCTION {RULES} RESET search_path",
    "rules that not everybody may call": f"REVOKE EXECUTE ON FUNCTION {RULES} FROM PUBLIC",
    "rules that let all pass": (
        "DO $do$ BEGIN EXECUTE regexp_replace(pg_get_functiondef("
        f"'{RULES}'::regproc), 'AS .*$', 'AS $$ BEGIN RETURN true; END $$'); END $do$"
    ),
}
ON_SQLITE: dict[str, str] = {
    "no trigger": f"DROP TRIGGER {FUNCTION}",
    "a trigger that does nothing": (
        f"DROP TRIGGER {FUNCTION}; CREATE TRIGGER {FUNCTION} BEFORE INSERT ON cancel_jobs"
        " BEGIN SELECT 1; END"
    ),
}
FAULTS = [
    *(pytest.param("postgresql", sql, id=name) for name, sql in ON_POSTGRESQL.items()),
    *(pytest.param("sqlite", sql, id=f"sqlite, {name}") for name, sql in ON_SQLITE.items()),
]


def execute(url: str, sql: str) -> None:
    database = open_database(url)
    with database.engine.begin() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        getattr(driver, "executescript", driver.execute)(sql)
    database.close()


@pytest.mark.parametrize(("database_kind", "sql"), FAULTS, indirect=["database_kind"])
def test_another_guard_is_named_and_mended(run: Run, database: str, sql: str) -> None:
    execute(database, sql)
    found = run("db", "check", "--json", KPLUS_DATABASE_URL=database)
    assert (found.code, found.json["up_to_date"], found.json["pending"]) == (1, False, [])
    assert all(FUNCTION in fault or RULES in fault for fault in found.json["faults"])
    assert found.json["faults"]
    done = run("db", "upgrade", "--json", KPLUS_DATABASE_URL=database)
    assert done.json["applied"] == found.json["faults"]
    assert run("db", "check", "--json", KPLUS_DATABASE_URL=database).json["faults"] == []
    assert run("db", "upgrade", "--json", KPLUS_DATABASE_URL=database).json["applied"] == []


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_no_worker_starts_on_an_old_guard_and_doctor_says_why(
    run: Run, database: str, partner: dict[str, str]
) -> None:
    """A restored dump brings the function of its time, under the revision of today."""
    execute(database, _old())
    nowhere = {
        "KPLUS_BANK_URL": "http://127.0.0.1:1/v1",
        "KPLUS_BROKER_URL": "redis://127.0.0.1:1/0",
    }
    settings = {"KPLUS_DATABASE_URL": database, **partner, **nowhere}
    worker = run("worker", **settings)
    assert worker.code == 4
    assert f"it lacks this release's function {FUNCTION}" in worker.err
    assert "run `kplus-cancel db upgrade`" in worker.err
    told = run("doctor", "--json", **settings).json["checks"]
    (schema,) = [line for line in told if line["check"] == "schema"]
    assert (schema["ok"], schema["remedy"]) == (False, "run `kplus-cancel db upgrade`")
    assert FUNCTION in schema["text"]


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_doctor_names_a_schema_in_which_everybody_may_create(
    run: Run, database: str, partner: dict[str, str]
) -> None:
    """As `public` is before PostgreSQL 15: an operator of theirs can stand for PostgreSQL's own."""
    execute(database, "GRANT CREATE ON SCHEMA public TO PUBLIC")
    told = run("doctor", "--json", KPLUS_DATABASE_URL=database, **partner, **NOWHERE)
    (line,) = [each for each in told.json["checks"] if each["check"] == "schema public"]
    assert (line["ok"], line["remedy"]) == (False, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    execute(database, line["remedy"])
    told = run("doctor", "--json", KPLUS_DATABASE_URL=database, **partner, **NOWHERE)
    assert "schema public" not in [each["check"] for each in told.json["checks"]]


def test_a_schema_that_lacks_more_is_not_mended_before_its_migrations(
    run: Run, empty_database: str, tmp_path: Path
) -> None:
    migrate(empty_database, "kplus_0008")
    found = run("db", "check", "--json", KPLUS_DATABASE_URL=empty_database).json
    assert (found["faults"], found["current"]) == ([], "kplus_0008")
    done = run("db", "upgrade", "--json", KPLUS_DATABASE_URL=empty_database).json
    assert done["applied"][0].startswith("0009 ")
    assert run("db", "check", "--json", KPLUS_DATABASE_URL=empty_database).code == 0


def test_the_guard_of_a_newer_release_is_left_alone(
    run: Run, database: str, settings_env: Callable[..., None]
) -> None:
    execute(database, "UPDATE kplus_cancel_version SET version_num = '9999'")
    dropped = "DROP TRIGGER kplus_skip_pruned"
    execute(database, f"{dropped} ON cancel_jobs" if "postgresql" in database else dropped)
    assert run("db", "check", "--json", KPLUS_DATABASE_URL=database).code == 0
    assert run("db", "upgrade", "--json", KPLUS_DATABASE_URL=database).json["applied"] == []
