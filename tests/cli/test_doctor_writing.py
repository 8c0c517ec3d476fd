"""`doctor` tries what a worker writes, in a transaction that is rolled back."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, make_url, select

from tests.cli.conftest import Run
from tests.cli.test_doctor import DOCTOR, line
from tests.servers.missing import unavailable
from tests.servers.postgres import NOBODY, PostgresServer
from tests.servers.roles import PASSWORD, Roles, connected
from tests.servers.roles import run as execute
from tests.servers.schema import migrate
from worker.store import open_database
from worker.store.schema.tables import metadata
from worker.store.schema.trial import RIGHTS

only_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
only_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
MOUNT, UNMOUNT = "/bin/mount", "/bin/umount"
NOWHERE = {"KPLUS_BROKER_URL": "redis://127.0.0.1:1/0", "KPLUS_BANK_URL": "http://127.0.0.1:1/"}

Settings = Callable[[str], dict[str, str]]


@pytest.fixture
def settings(partner: dict[str, str], home: Path) -> Settings:
    def of(database: str) -> dict[str, str]:
        return partner | NOWHERE | {"KPLUS_DATABASE_URL": database, "KPLUS_HOME": str(home)}

    return of


def rows(database: str) -> dict[str, int]:
    opened = open_database(database)
    try:
        with opened.reading() as connection:
            return {
                name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
                for name, table in metadata.tables.items()
            }
    finally:
        opened.close()


def checks(run: Run, settings: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {each["check"]: each for each in run(*DOCTOR, **settings).json["checks"]}


def test_where_all_is_well_nothing_is_said_and_nothing_is_left(
    run: Run, settings: Settings, database: str
) -> None:
    before = rows(database)
    found = checks(run, settings(database))
    assert found.keys().isdisjoint({"writing", "rights", "connections"})
    assert rows(database) == before


@only_postgresql
@pytest.mark.parametrize("role", ["worker", "operator"])
def test_the_roles_of_the_file_are_enough(
    run: Run, settings: Settings, database: str, roles: Roles, role: str
) -> None:
    roles.install(database)
    found = checks(run, settings(roles.url(database, role)))
    assert found.keys().isdisjoint({"writing", "rights", "connections"})


@only_postgresql
@pytest.mark.parametrize("table", RIGHTS)
def test_each_missing_right_is_named(
    run: Run, settings: Settings, database: str, roles: Roles, table: str
) -> None:
    roles.install(database)
    worker = roles.name("worker")
    for right in RIGHTS[table]:
        with connected(database) as connection:
            execute(connection, f"REVOKE {right} ON {table} FROM {worker}")
        found = line(run(*DOCTOR, **settings(roles.url(database, "worker"))), "rights")
        assert not found["ok"]
        assert f"{right}" in found["text"]
        assert table in found["text"]
        assert f"ON {table} TO {worker}" in found["remedy"]
        with connected(database) as connection:
            execute(connection, f"GRANT {right} ON {table} TO {worker}")
            execute(connection, found["remedy"])
    assert "rights" not in checks(run, settings(roles.url(database, "worker")))


@only_postgresql
def test_a_role_that_may_only_read_is_wrong(
    run: Run, settings: Settings, database: str, roles: Roles
) -> None:
    roles.install(database)
    reader = roles.name("reader")
    with connected(database) as connection:
        execute(connection, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}")
    found = line(run(*DOCTOR, **settings(roles.url(database, "reader"))), "rights")
    assert not found["ok"]
    assert "INSERT, UPDATE on cancel_jobs" in found["text"]
    assert "roles.sql" in found["remedy"]
    assert PASSWORD not in str(found)


@only_postgresql
def test_a_server_that_is_read_only_is_wrong(run: Run, settings: Settings, database: str) -> None:
    name = make_url(database).database
    with connected(database) as connection:
        execute(connection, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    found = line(run(*DOCTOR, **settings(database)), "database")
    assert not found["ok"]


@only_postgresql
@pytest.mark.parametrize("of", ["role", "database"])
def test_a_limit_below_what_a_worker_opens_is_wrong(
    run: Run, settings: Settings, database: str, roles: Roles, of: str
) -> None:
    roles.install(database)
    name = roles.name("worker") if of == "role" else make_url(database).database
    with connected(database) as connection:
        execute(connection, f"ALTER {of} {name} CONNECTION LIMIT 20")
    url = roles.url(database, "worker")
    found = line(run(*DOCTOR, **settings(url)), "connections")
    assert f"the {of} allows 20, one worker process may open 24" in found["text"]
    assert f"ALTER {of.upper()}" in found["remedy"]
    few = settings(url) | {"KPLUS_CONCURRENCY": "12"}
    assert "connections" not in checks(run, few)


@only_postgresql
@pytest.mark.parametrize("attrs", ["any", "prefer-standby", "read-write", "primary"])
def test_a_choice_of_servers_that_may_be_a_standby_is_wrong(
    run: Run, settings: Settings, database: str, attrs: str
) -> None:
    url = make_url(database).update_query_dict({"target_session_attrs": attrs})
    found = checks(run, settings(url.render_as_string(hide_password=False)))
    assert ("connections" in found) == (attrs in {"any", "prefer-standby"})


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 96 MiB of its own, which a server under another user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="kplus-small-"))
    command = [MOUNT, "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        unavailable("a small disk", f"mount: {done.stderr.strip()}", installable=False)
    folder.chmod(0o755)
    yield folder
    subprocess.run([UNMOUNT, "--lazy", str(folder)], check=True)
    folder.rmdir()


def fill(folder: Path) -> None:
    """Leave no room at all."""
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    assert shutil.disk_usage(folder).free < 4096


@only_sqlite
def test_a_full_disk_under_sqlite_is_wrong(
    run: Run, settings: Settings, database: str, small_disk: Path
) -> None:
    del database
    url = f"sqlite:///{small_disk}/kplus.db"
    migrate(url)
    assert checks(run, settings(url)).keys().isdisjoint({"writing", "disk"})
    fill(small_disk)
    found = checks(run, settings(url))
    assert found["disk"]["remedy"].startswith("make room")
    assert not found["database"]["ok"]


@only_postgresql
def test_a_full_disk_under_postgresql_is_wrong(
    run: Run,
    settings: Settings,
    database: str,
    postgresql_server: PostgresServer,
    small_disk: Path,
) -> None:
    if os.geteuid() == 0:
        os.chown(small_disk, NOBODY, NOBODY)
    place = small_disk / "tablespace"
    place.mkdir()
    if os.geteuid() == 0:
        os.chown(place, NOBODY, NOBODY)
    name = f"small_{make_url(database).database}"
    try:
        postgresql_server.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'")
    except Exception as reason:  # noqa: BLE001 - a server of another machine or user
        unavailable("a small disk", f"{reason}", installable=False)
    try:
        with connected(postgresql_server.url()) as connection:
            execute(
                connection, f"ALTER DATABASE {make_url(database).database} SET TABLESPACE {name}"
            )
        assert "writing" not in checks(run, settings(database))
        fill(small_disk)
        found = line(run(*DOCTOR, **settings(database)), "writing")
        assert not found["ok"]
        assert "No space left" in found["text"]
        assert "make room" in found["remedy"]
    finally:
        (small_disk / "filler").unlink(missing_ok=True)
        postgresql_server.drop(database)
        postgresql_server.execute(f"DROP TABLESPACE {name}")


@only_sqlite
def test_a_file_that_may_not_be_written_is_wrong(
    run: Run, settings: Settings, database: str
) -> None:
    """A superuser may write every file, so the file is made to refuse by itself."""
    opened = open_database(database)
    with opened.writing() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuses BEFORE INSERT ON cancel_jobs"
            " BEGIN SELECT RAISE(ABORT, 'attempt to write a readonly database'); END"
        )
    opened.close()
    found = checks(run, settings(database))
    assert not found["writing"]["ok"]
