"""KPLUS_DATABASE_SCHEMA: our tables in a schema of their own, wherever `search_path` leads."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from sqlalchemy import make_url, text

from tests.cli.conftest import Run
from tests.cli.test_alembic_command import alembic
from tests.integration.neighbours_alembic import OrderSystem, block, names
from tests.servers.hostile_schema import SCHEMA, THEIRS, plain, rows_of_theirs
from tests.servers.postgres import PostgresServer
from tests.servers.roles import Roles
from worker.cli import cli
from worker.store import Store, open_database
from worker.store.schema.migrate import revisions
from worker.store.schema.tables import metadata
from worker.store.schema.versions import VERSION_TABLE

pytestmark = pytest.mark.postgres

NOWHERE = {
    "KPLUS_BANK_URL": "http://127.0.0.1:1/v1",
    "KPLUS_INQUIRY_URL": "http://127.0.0.1:1/v1",
    "KPLUS_BROKER_URL": "redis://127.0.0.1:1/0",
}
ROW = "(partner_txn_uid, partner_id, token_id, reference1) VALUES ('{}', 'P', 'T', 'R')"


@pytest.fixture
def settings(hostile_database: str, partner: dict[str, str]) -> dict[str, str]:
    """The settings of a program on a database of others."""
    ours = {"KPLUS_DATABASE_URL": hostile_database, "KPLUS_DATABASE_SCHEMA": SCHEMA}
    return partner | NOWHERE | ours


@pytest.fixture
def store(hostile_database: str) -> Iterator[Store]:
    store = Store(open_database(hostile_database, schema=SCHEMA))
    yield store
    store.close()


@pytest.fixture
def empty(postgresql_server: PostgresServer) -> Iterator[str]:
    """The URL of a database without tables, where nobody else is."""
    url = postgresql_server.create_empty()
    with plain(url) as connection:
        # The role of these tests has the name of the schema: "$user" would lead there.
        name = make_url(url).database
        connection.execute(text(f"ALTER DATABASE {name} SET search_path = public"))
    yield url
    postgresql_server.drop(url)


def outside(url: str) -> list[str]:
    """Return every name that is not in our schema."""
    return sorted(name for name in names(url) if not name.startswith(SCHEMA))


def test_all_that_is_ours_is_in_the_schema(
    run: Run, hostile_database: str, settings: dict[str, str]
) -> None:
    before = outside(hostile_database)
    check = run("db", "check", "--table", **settings)
    assert (check.code, "no schema yet" in check.out) == (1, True)
    assert run("db", "upgrade", **settings).code == 0
    assert outside(hostile_database) == before
    assert rows_of_theirs(hostile_database) == 0
    with plain(hostile_database) as connection:
        made = connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = :name"), {"name": SCHEMA}
        )
        assert set(made.scalars()) == {*metadata.tables, VERSION_TABLE}
    found = run("db", "check", "--json", **settings).json
    assert (found["up_to_date"], found["schema"]) == (True, SCHEMA)


ACTED = ("--reason", "test", "--yes")
COMMANDS: list[tuple[str, ...]] = [
    ("db", "upgrade"),
    ("db", "check"),
    ("enqueue", "--uid", "U1", "--token", "T1", "--reference1", "R1"),
    ("enqueue", "--uid", "U1", "--token", "T2", "--reference1", "R1"),
    ("import", "orders.jsonl"),
    ("show", "U1"),
    ("why", "U1"),
    ("list",),
    ("stats",),
    ("discard", "U1", "--reason", "test"),
    ("requeue", "U1", "--reason", "test"),
    ("discard", "--state", "pending", *ACTED),
    ("reissue", "U2", "--as", "U3", "--reason", "test"),
    ("requeue", "--outcome", "gave_up", *ACTED),
    ("export",),
    ("seen", "--outcome", "gave_up", *ACTED),
    ("outbox", "list"),
    ("outbox", "enable", "--reason", "test"),
    ("outbox", "resend", "--dead", *ACTED),
    ("partners", "list"),
    ("partners", "pause", "P1", "--reason", "test"),
    ("partners", "resume", "P1", "--reason", "test"),
    ("actions",),
    ("dialect", "unknown"),
    ("dialect", "test", "dialect.toml"),
    ("dialect", "apply", *ACTED),
    ("rejected",),
    ("reconcile",),
    ("reconcile", "--manifest", "orders.jsonl", "--enqueue", "--yes"),
    ("reconcile", "--audit", "1"),
    ("prune", "--older-than", "90d", "--messages-older-than", "90d", "--yes"),
    ("prune", "--actions-older-than", "90d", "--audits-older-than", "90d", "--yes"),
    ("doctor",),
]
ELSEWHERE = {
    "demo": "it has a database of its own",
    "sandbox": "it has none",
    "worker": "tests/e2e/test_own_schema.py",
}


def _paths(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    context = click.Context(command)
    if not isinstance(command, click.Group):
        yield path
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from _paths(found, *path, name)


def test_every_command_finds_our_tables(
    run: Run, hostile_database: str, settings: dict[str, str], tmp_path: Path, store: Store
) -> None:
    """One after another, over jobs in several states; none meets a table of theirs."""
    order = {"partnerTxnUid": "U2", "tokenId": "T2", "reference1": "R2"}
    (tmp_path / "orders.jsonl").write_text(f"{json.dumps(order)}\n")
    (tmp_path / "dialect.toml").write_text("")
    for command in COMMANDS:
        done = run(*command, **settings)
        assert done.code in {0, 1} or command[0] == "doctor", (command, done.err)
        assert "database" not in done.err, (command, done.err)
    lines = {line["check"]: line for line in run("doctor", "--json", **settings).json["checks"]}
    assert lines["schema"]["ok"]
    assert lines.keys().isdisjoint({"rights", "writing"})
    assert {job["partner_txn_uid"] for job in store.reports.jobs()} == {"U1", "U2", "U3"}
    assert store.rejected_messages.counts() == {"conflict": 1}
    assert rows_of_theirs(hostile_database) == 0
    tried = {command[: len(path)] for command in COMMANDS for path in _paths(cli)}
    left = {path for path in _paths(cli) if path not in tried}
    assert left == {(name,) for name in ELSEWHERE}


def test_a_role_that_may_not_make_the_schema_is_told_what_to_ask_for(
    run: Run, empty: str, partner: dict[str, str]
) -> None:
    with plain(empty) as owner:
        name = owner.execute(text("SELECT current_database()")).scalar()
        role = f"migrator_{name}"
        owner.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'only-in-this-test'"))
        url = owner.engine.url.set(username=role, password="only-in-this-test")
        settings = {
            "KPLUS_DATABASE_URL": url.render_as_string(hide_password=False),
            "KPLUS_DATABASE_SCHEMA": SCHEMA,
        }
        first = run("db", "upgrade", **settings)
        assert first.code == 4
        remedies = f"`CREATE SCHEMA {SCHEMA} AUTHORIZATION {role}`"
        assert f"there is no schema {SCHEMA}, and the role {role} may not make one" in first.err
        assert remedies in first.err
        assert f"`GRANT CREATE ON DATABASE {name} TO {role}`" in first.err
        owner.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        grant = f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}"
        checks = run("doctor", "--json", **settings, **partner, **NOWHERE).json["checks"]
        (line,) = [each for each in checks if each["check"] == "database" and not each["ok"]]
        assert line["remedy"] == f"let its owner run `{grant}`"
        owner.execute(text(grant))
        second = run("db", "upgrade", **settings)
        assert (
            second.code,
            f"`GRANT USAGE, CREATE ON SCHEMA {SCHEMA} TO {role}`" in second.err,
        ) == (
            4,
            True,
        )
        owner.execute(text(f"GRANT USAGE, CREATE ON SCHEMA {SCHEMA} TO {role}"))
        assert run("db", "upgrade", **settings).code == 0
        assert run("db", "check", **settings).code == 0
        owner.execute(text(f"DROP OWNED BY {role} CASCADE"))
        owner.execute(text(f"DROP ROLE {role}"))


def test_a_missing_right_is_named_with_the_schema(
    run: Run, hostile_database: str, settings: dict[str, str], roles: Roles
) -> None:
    run("db", "upgrade", **settings)
    roles.install(hostile_database, SCHEMA)
    url = roles.url(hostile_database, "worker")
    with plain(hostile_database) as connection:
        connection.execute(text(f"REVOKE INSERT ON {SCHEMA}.outbox FROM {roles.name('worker')}"))
    checks = run("doctor", "--json", **settings | {"KPLUS_DATABASE_URL": url}).json["checks"]
    (line,) = [each for each in checks if each["check"] == "rights"]
    assert line["remedy"] == f"GRANT INSERT ON {SCHEMA}.outbox TO {roles.name('worker')}"


def test_no_search_path_is_needed(
    run: Run, hostile_database: str, settings: dict[str, str]
) -> None:
    """What `doctor` proposes where everybody may create functions in a schema of others."""
    run("db", "upgrade", **settings)
    with plain(hostile_database) as connection:
        connection.execute(text("GRANT CREATE ON SCHEMA public TO PUBLIC"))
        checks = run("doctor", "--json", **settings).json["checks"]
        (line,) = [each for each in checks if each["check"] == "schema public"]
        assert "ALTER ROLE … SET search_path = ''" in line["remedy"]
        name = make_url(hostile_database).database
        connection.execute(text(f"ALTER DATABASE {name} SET search_path = ''"))
    for command in (("db", "check"), ("db", "upgrade"), ("stats",)):
        assert run(*command, **settings).code == 0
    lines = [each["check"] for each in run("doctor", "--json", **settings).json["checks"]]
    assert {"schema public", "rights", "writing"}.isdisjoint(lines)


def test_the_alembic_command_goes_there(
    run: Run, hostile_database: str, settings: dict[str, str], tmp_path: Path
) -> None:
    before = outside(hostile_database)
    own = {"KPLUS_DATABASE_SCHEMA": SCHEMA}
    done = alembic(tmp_path, "upgrade", "head", database_url=hostile_database, **own)
    assert done.returncode == 0, done.stderr
    assert run("db", "check", **settings).code == 0
    assert alembic(tmp_path, "check", database_url=hostile_database, **own).returncode == 0
    down = alembic(tmp_path, "downgrade", "base", database_url=hostile_database, **own)
    assert down.returncode == 0, down.stderr
    assert outside(hostile_database) == before
    assert rows_of_theirs(hostile_database) == 0


@pytest.mark.parametrize("since", ["base", "kplus_0016"])
def test_a_script_goes_there(
    run: Run, hostile_database: str, settings: dict[str, str], tmp_path: Path, since: str
) -> None:
    before = outside(hostile_database)
    own = {"KPLUS_DATABASE_SCHEMA": SCHEMA}
    url = hostile_database
    if since != "base":
        assert run("db", "upgrade", **settings).code == 0
        assert alembic(tmp_path, "downgrade", since, database_url=url, **own).returncode == 0
    script = alembic(tmp_path, "upgrade", f"{since}:head", "--sql", database_url=url, **own)
    assert script.returncode == 0, script.stderr
    with plain(hostile_database) as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(script.stdout)
        assert connection.execute(text("SHOW search_path")).scalar() == f"{THEIRS}, public"
    assert run("db", "check", **settings).code == 0
    assert outside(hostile_database) == before


def test_tables_that_are_elsewhere_are_not_made_twice(
    run: Run, empty: str, partner: dict[str, str]
) -> None:
    """The jobs of an installation would be out of sight, and their uids new again."""
    here = {"KPLUS_DATABASE_URL": empty}
    there = here | {"KPLUS_DATABASE_SCHEMA": SCHEMA}
    assert run("db", "upgrade", **here).code == 0
    before = sorted(names(empty))
    done = run("db", "upgrade", **there)
    assert done.code == 4
    assert f"our tables are in the schema public, and KPLUS_DATABASE_SCHEMA is {SCHEMA}" in done.err
    assert sorted(names(empty)) == before
    worker = run("worker", **there, **partner, **NOWHERE)
    assert (worker.code, "set KPLUS_DATABASE_SCHEMA=public" in worker.err) == (4, True)
    assert run("db", "check", **here, KPLUS_DATABASE_SCHEMA="public").code == 0


def test_the_page_says_how_to_move_the_tables(run: Run, empty: str) -> None:
    here = {"KPLUS_DATABASE_URL": empty, "KPLUS_PARTNER_ID": "P1"}
    there = here | {"KPLUS_DATABASE_SCHEMA": SCHEMA}
    run("db", "upgrade", **here)
    run("enqueue", "--uid", "U1", "--token", "T", "--reference1", "R", **here)
    with plain(empty) as connection:
        for statement in filter(str.strip, block("move").split(";")):
            connection.execute(text(statement))
    found = run("db", "check", "--json", **there).json
    assert (found["pending"], len(found["faults"])) == ([], 1)
    assert run("db", "upgrade", "--json", **there).json["applied"] == found["faults"]
    assert run("db", "check", **there).code == 0
    assert [name for name in names(empty) if name.startswith("public.")] == []
    again = run("enqueue", "--uid", "U1", "--token", "T", "--reference1", "R", **there)
    assert again.json["status"] == "duplicate"
    with plain(empty) as connection:
        connection.execute(text(f"INSERT INTO {SCHEMA}.cancel_jobs {ROW.format('U2')}"))


def test_an_installation_of_the_version_before_is_taken_over_in_its_schema(
    run: Run, hostile_database: str, settings: dict[str, str], tmp_path: Path
) -> None:
    """It came there by the `search_path` of its role, and its readers keep their right."""
    run("db", "upgrade", **settings)
    own = {"KPLUS_DATABASE_SCHEMA": SCHEMA}
    back = alembic(tmp_path, "downgrade", "kplus_0016", database_url=hostile_database, **own)
    assert back.returncode == 0, back.stderr
    with plain(hostile_database) as connection:
        reader = f"reader_{connection.execute(text('SELECT current_database()')).scalar()}"
        connection.execute(text(f"CREATE ROLE {reader}"))
        connection.execute(text(f"GRANT SELECT ON {SCHEMA}.alembic_version TO {reader}, PUBLIC"))
        assert run("db", "upgrade", **settings).code == 0
        rights = text("SELECT relacl::text FROM pg_class WHERE oid = to_regclass(:name)")
        found = connection.execute(rights, {"name": f"{SCHEMA}.{VERSION_TABLE}"}).scalar_one()
        assert f"{reader}=r/" in found
        assert ",=r/" in found
        connection.execute(text(f"DROP OWNED BY {reader}"))
        connection.execute(text(f"DROP ROLE {reader}"))
    assert rows_of_theirs(hostile_database) == 0


def test_two_installations_share_a_database(
    run: Run, hostile_database: str, settings: dict[str, str], store: Store
) -> None:
    """As of two environments: one's jobs are none of the other's."""
    other = settings | {"KPLUS_DATABASE_SCHEMA": "kplus_staging"}
    for each in (settings, other):
        assert run("db", "upgrade", **each).code == 0
    run("enqueue", "--uid", "U1", "--token", "T", "--reference1", "R", **other)
    assert store.reports.jobs() == []
    assert run("list", "--json", **other).json[0]["partner_txn_uid"] == "U1"


def test_their_autogenerate_sees_nothing_of_ours(
    run: Run, empty: str, partner: dict[str, str], tmp_path: Path
) -> None:
    order_system = OrderSystem(tmp_path / "theirs", empty)
    settings = {"KPLUS_DATABASE_URL": empty, "KPLUS_DATABASE_SCHEMA": SCHEMA}
    order_system.upgrade("0001")
    assert run("db", "upgrade", **settings).code == 0
    order_system.upgrade()
    assert order_system.would_change() == []
    assert order_system.would_change(include_schemas=True) == []
    order_system.downgrade()
    assert run("db", "check", **settings).code == 0


def test_the_snippet_names_every_table_of_ours() -> None:
    found: dict[str, object] = {}
    exec(block("include_name"), found)  # noqa: S102 - it is ours
    assert found["OURS"] == {*metadata.tables, VERSION_TABLE}
    assert len(revisions()) == len(set(revisions()))
    assert all(revision.startswith("kplus_") for revision in revisions())
