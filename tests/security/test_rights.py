"""What each role may, table by table, and what it is refused."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from tests.security.conftest import Log
from tests.servers.postgres import PostgresServer, psql
from tests.servers.roles import ROLES, Roles, connected, run
from worker.store.schema.tables import metadata
from worker.store.schema.trial import RIGHTS
from worker.store.schema.versions import BEGAN, VERSION_TABLE

pytestmark = pytest.mark.postgres

SCHEMA = "kplus_rights"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All of it holds where our tables are in a schema of their own, too."""
    if "with_roles" in metafunc.fixturenames:
        metafunc.parametrize(
            "with_roles", [None, SCHEMA], indirect=True, ids=["here", "schema"], scope="session"
        )


NONE = ""
READ = "SELECT"
ADD = "INSERT SELECT"
CHANGE = "INSERT SELECT UPDATE"
REMOVE = "DELETE INSERT SELECT"
ALL = "DELETE INSERT SELECT UPDATE"
OF_TABLES: dict[str, dict[str, str]] = {
    VERSION_TABLE: {"worker": READ, "operator": READ, "reader": READ, "producer": NONE},
    "audits": {"worker": READ, "operator": ALL, "reader": READ, "producer": NONE},
    "cancel_attempts": {"worker": ALL, "operator": ALL, "reader": READ, "producer": NONE},
    "cancel_jobs": {"worker": CHANGE, "operator": ALL, "reader": READ, "producer": READ},
    "endpoints": {"worker": CHANGE, "operator": CHANGE, "reader": READ, "producer": NONE},
    "locks": {"worker": CHANGE, "operator": CHANGE, "reader": NONE, "producer": NONE},
    "operator_actions": {"worker": NONE, "operator": REMOVE, "reader": READ, "producer": NONE},
    "outbox": {"worker": CHANGE, "operator": ALL, "reader": READ, "producer": NONE},
    "partners": {"worker": CHANGE, "operator": CHANGE, "reader": NONE, "producer": NONE},
    "rejected_counts": {"worker": CHANGE, "operator": ALL, "reader": READ, "producer": NONE},
    "rejected_messages": {"worker": ALL, "operator": ALL, "reader": NONE, "producer": NONE},
    "token_statuses": {"worker": REMOVE, "operator": REMOVE, "reader": READ, "producer": NONE},
    "tombstones": {"worker": READ, "operator": ADD, "reader": READ, "producer": READ},
}
"""The rights on whole tables. A new table needs its line here, and in the file."""

OF_COLUMNS: dict[tuple[str, str, str], str] = {
    ("operator_actions", "operator", "UPDATE"): "id",
    ("partners", "reader", "SELECT"): "failed_probes failures mode pace partner_id"
    " probe_ends_at probe_id probe_uid proven_at reason resume_at resumed_at"
    " second_probe_ends_at second_probe_id slot_at updated_at",
    ("rejected_messages", "reader", "SELECT"): "deliveries digest first_at kind last_at"
    " partner_txn_uid place reason task",
    ("cancel_jobs", "producer", "INSERT"): "created_at expires_at hinted_at next_attempt_at"
    " partner_id partner_txn_uid reference1 token_id updated_at",
    ("rejected_messages", "producer", "INSERT"): "body detail digest first_at last_at"
    " partner_txn_uid reason task",
}
"""The rights on single columns."""

KEPT_FROM_READERS = {
    "partners": {"credentials"},
    "rejected_messages": {"body", "detail"},
}


def test_every_role_has_on_every_table_what_is_written_here_and_no_more(
    log_in: Log, roles: Roles
) -> None:
    superuser = log_in("superuser")
    found = {
        (table, role, grant)
        for table, grantee, grant in superuser.execute(
            "SELECT table_name, grantee, privilege_type FROM information_schema.table_privileges"
            " WHERE table_schema = current_schema()"
        )
        for role in [*ROLES[1:], "PUBLIC"]
        if grantee in {roles.name(role), role}
    }
    written = {
        (table, role, grant)
        for table, grants in OF_TABLES.items()
        for role, rights in grants.items()
        for grant in rights.split()
    }
    assert found == written
    assert set(OF_TABLES) == {*metadata.tables, VERSION_TABLE}


def test_doctor_tries_the_rights_of_the_worker_and_no_others() -> None:
    of_worker = {name: set(of["worker"].split()) for name, of in OF_TABLES.items()}
    tried = {name: set(rights) for name, rights in RIGHTS.items()}
    assert tried | {VERSION_TABLE: {READ}} == {
        name: rights for name, rights in of_worker.items() if rights
    }


def test_every_role_has_on_single_columns_what_is_written_here_and_no_more(
    log_in: Log, roles: Roles
) -> None:
    rows = log_in("superuser").execute(
        "SELECT relname, acl.grantee::regrole::text, acl.privilege_type,"
        " string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute"
        " JOIN pg_class ON pg_class.oid = attrelid, LATERAL aclexplode(attacl) AS acl"
        " WHERE relnamespace = current_schema()::regnamespace GROUP BY 1, 2, 3"
    )
    short = {roles.name(role): role for role in ROLES}
    assert {
        (table, short[str(role)], right): columns for table, role, right, columns in rows
    } == OF_COLUMNS


@pytest.mark.parametrize("table", KEPT_FROM_READERS)
def test_a_new_column_is_given_to_readers_or_kept_from_them(table: str) -> None:
    given = set(OF_COLUMNS[table, "reader", "SELECT"].split())
    assert given | KEPT_FROM_READERS[table] == set(metadata.tables[table].c.keys())


def test_the_owner_owns_everything(log_in: Log, roles: Roles) -> None:
    owners = log_in("superuser").execute(
        "SELECT DISTINCT relowner::regrole::text FROM pg_class"
        " WHERE relnamespace = current_schema()::regnamespace"
        " UNION SELECT proowner::regrole::text FROM pg_proc"
        " WHERE pronamespace = current_schema()::regnamespace"
    )
    assert owners.fetchall() == [(roles.name("owner"),)]


def test_the_file_takes_back_what_was_granted_before(
    database: str, schema: str, log_in: Log, roles: Roles
) -> None:
    """It can be run again at any time, and what stands in it is then all there is."""
    superuser, producer = log_in("superuser"), roles.name("producer")
    superuser.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {producer}, PUBLIC")
    superuser.execute(f"GRANT UPDATE (state) ON cancel_jobs TO {producer}")
    superuser.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {producer}")
    superuser.execute(f"GRANT ALL ON FUNCTION kplus_skip_pruned() TO {producer}, PUBLIC")
    roles.install(database, schema)
    test_every_role_has_on_every_table_what_is_written_here_and_no_more(log_in, roles)
    test_every_role_has_on_single_columns_what_is_written_here_and_no_more(log_in, roles)
    asked = "has_sequence_privilege(%s, 'audits_id_seq', 'USAGE')"
    functions = "has_function_privilege(%s, 'kplus_skip_pruned()', 'EXECUTE')"
    found = superuser.execute(f"SELECT {asked}, {functions}", (producer, producer))
    assert found.fetchone() == (False, False)


def test_who_owned_the_tables_goes_on_working(
    database: str, schema: str, log_in: Log, roles: Roles
) -> None:
    superuser = log_in("superuser")
    before = roles.name("owner").replace("owner", "before")
    superuser.execute(f"CREATE ROLE {before}")
    superuser.execute(f"ALTER TABLE cancel_jobs OWNER TO {before}")
    roles.install(database, schema)
    superuser.execute(f"SET ROLE {before}")
    assert superuser.execute("SELECT count(*) FROM cancel_jobs").fetchone() == (0,)
    superuser.execute("RESET ROLE")
    superuser.execute(f"DROP ROLE {before}")


@pytest.mark.parametrize("theirs", [True, False])
def test_an_alembic_version_of_others_stays_theirs(
    database: str, schema: str, log_in: Log, roles: Roles, *, theirs: bool
) -> None:
    """One that was ours stays readable for the version before."""
    superuser = log_in("superuser")
    revision = "0017" if theirs else BEGAN
    superuser.execute("CREATE TABLE alembic_version (version_num varchar(32))")
    superuser.execute("INSERT INTO alembic_version VALUES (%s)", (revision,))
    roles.install(database, schema)
    asked = "has_table_privilege(%s, 'alembic_version', 'SELECT')"
    found = superuser.execute(f"SELECT {asked}", (roles.name("worker"),))
    assert found.fetchone() == (not theirs,)


@pytest.mark.parametrize("named", [True, False])
def test_psql_runs_the_file_in_the_schema_that_it_is_given(
    database: str, schema: str, log_in: Log, roles: Roles, tmp_path: Path, *, named: bool
) -> None:
    """As the page says; without a schema it is that of the `search_path`."""
    log_in("superuser").execute(f"REVOKE ALL ON cancel_jobs FROM {roles.name('worker')}")
    file = tmp_path / "roles.sql"
    file.write_text(roles.named())
    url = make_url(database).set(drivername="postgresql").render_as_string(hide_password=False)
    given = ["-v", f"schema={schema}"] if named else []
    done = subprocess.run(
        [psql(), "-v", "ON_ERROR_STOP=1", *given, "--single-transaction", "-qf", file, url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    test_every_role_has_on_every_table_what_is_written_here_and_no_more(log_in, roles)


JOB = "(partner_txn_uid, partner_id, token_id, reference1{}) VALUES ('U', 'P', 'T', 'R'{})"
ADDED = "INSERT INTO cancel_jobs " + JOB
REFUSED = [
    ("worker", "DELETE FROM cancel_jobs"),
    ("worker", "TRUNCATE cancel_attempts"),
    ("worker", "DELETE FROM partners"),
    ("worker", "DELETE FROM outbox"),
    ("worker", "DELETE FROM locks"),
    ("worker", "TRUNCATE cancel_jobs"),
    ("worker", "UPDATE token_statuses SET status = 'CANCELLED'"),
    ("worker", "DELETE FROM tombstones"),
    ("worker", "INSERT INTO tombstones VALUES ('U', 'P', 'D', 'paid', now(), now())"),
    ("worker", "UPDATE tombstones SET outcome = 'paid'"),
    ("worker", "SELECT count(*) FROM operator_actions"),
    ("worker", "INSERT INTO operator_actions (at) VALUES (now())"),
    ("worker", "UPDATE audits SET verdict = 'agrees'"),
    ("worker", "UPDATE kplus_cancel_version SET version_num = '0001'"),
    ("worker", "ALTER TABLE cancel_jobs DISABLE TRIGGER kplus_skip_pruned"),
    ("worker", "DROP TABLE audits"),
    ("worker", "CREATE TABLE mine (x int)"),
    ("operator", "UPDATE operator_actions SET who = 'nobody'"),
    ("operator", "UPDATE operator_actions SET reason = 'none'"),
    ("operator", "DELETE FROM tombstones"),
    ("operator", "UPDATE tombstones SET outcome = 'paid'"),
    ("operator", "TRUNCATE cancel_attempts"),
    ("operator", "UPDATE token_statuses SET status = 'CANCELLED'"),
    ("operator", "DELETE FROM partners"),
    ("operator", "UPDATE kplus_cancel_version SET version_num = '0001'"),
    ("operator", "TRUNCATE operator_actions"),
    ("operator", "DROP TRIGGER kplus_skip_pruned ON cancel_jobs"),
    ("operator", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    ("reader", ADDED.format("", "")),
    ("reader", "UPDATE cancel_jobs SET state = 'pending'"),
    ("reader", "DELETE FROM cancel_jobs"),
    ("reader", "SELECT credentials FROM partners"),
    ("reader", "SELECT * FROM partners"),
    ("reader", "SELECT body FROM rejected_messages"),
    ("reader", "SELECT detail FROM rejected_messages"),
    ("reader", "SELECT name FROM locks FOR UPDATE"),
    ("reader", "SELECT partner_txn_uid FROM cancel_jobs FOR KEY SHARE"),
    ("reader", "BEGIN; LOCK TABLE cancel_jobs IN SHARE MODE"),
    ("reader", "SELECT setval('audits_id_seq', 1)"),
    (
        "producer",
        ADDED.format(", state, finished_at, outcome", ", 'succeeded', now(), 'cancelled'"),
    ),
    ("producer", ADDED.format(", attempts, conversations", ", 2147483647, 2147483647")),
    ("producer", ADDED.format(", state, lease_id", ", 'in_flight', 'mine'")),
    ("producer", ADDED.format(", doubted", ", true")),
    ("producer", ADDED.format(", continues", ", 'other'")),
    ("producer", ADDED.format(", ends", ", 5")),
    ("producer", "INSERT INTO cancel_jobs VALUES ('U', 'P', 'T', 'R', 'pending')"),
    ("producer", "UPDATE cancel_jobs SET token_id = 'other'"),
    ("producer", "DELETE FROM cancel_jobs"),
    ("producer", "SELECT 1 FROM cancel_jobs FOR KEY SHARE"),
    ("producer", "BEGIN; LOCK TABLE cancel_jobs IN ROW EXCLUSIVE MODE"),
    ("producer", "BEGIN; LOCK TABLE rejected_messages IN ACCESS SHARE MODE"),
    ("producer", "UPDATE rejected_messages SET last_at = '1970-01-01'"),
    ("producer", "DELETE FROM rejected_messages"),
    ("producer", "SELECT body FROM rejected_messages"),
    ("producer", "SELECT count(*) FROM partners"),
    ("producer", "SELECT count(*) FROM cancel_attempts"),
    ("producer", "SELECT count(*) FROM outbox"),
    ("producer", "SELECT name FROM locks FOR UPDATE"),
    ("producer", "INSERT INTO locks VALUES ('hints')"),
    ("producer", "INSERT INTO tombstones VALUES ('U', 'P', 'D', 'paid', now(), now())"),
    ("producer", "SELECT nextval('operator_actions_id_seq')"),
    ("producer", "CREATE TABLE mine (x int)"),
    ("owner", "CREATE ROLE another"),
    ("owner", "SELECT pg_read_file('/etc/passwd')"),
    ("owner", "COPY cancel_jobs TO PROGRAM 'cat'"),
]


@pytest.fixture(scope="module")
def untouched(postgresql_server: PostgresServer, with_roles: Callable[[], str]) -> Iterator[str]:
    """A database for tries that change nothing, since each is refused."""
    url = with_roles()
    yield url
    postgresql_server.drop(url)


@pytest.mark.parametrize(("role", "statement"), REFUSED)
def test_what_a_role_must_not_do_is_refused(
    role: str, statement: str, untouched: str, roles: Roles
) -> None:
    with connected(roles.url(untouched, role)) as connection:
        with pytest.raises(DBAPIError) as refused:
            run(connection, statement)
        # A CHECK that refuses it would not be a right that is missing.
        assert isinstance(refused.value.orig, psycopg.errors.InsufficientPrivilege)


ALLOWED = [
    ("worker", "DELETE FROM rejected_messages"),
    ("worker", "DELETE FROM cancel_attempts"),
    ("worker", "DELETE FROM token_statuses"),
    ("operator", "DELETE FROM cancel_attempts"),
    ("operator", "DELETE FROM token_statuses"),
    ("operator", "DELETE FROM rejected_messages"),
    ("reader", "SELECT state, outcome, count(*) FROM cancel_jobs GROUP BY 1, 2"),
    ("reader", "SELECT reason, deliveries FROM rejected_messages"),
    ("reader", "SELECT mode, reason FROM partners"),
    ("reader", "SELECT who, reason FROM operator_actions"),
    ("producer", ADDED.format(", expires_at", ", now()")),
    ("producer", "SELECT state, outcome, token_id, reference1 FROM cancel_jobs"),
    ("owner", "ALTER TABLE audits ADD COLUMN more int"),
    ("owner", "CREATE TABLE more (x int)"),
]


@pytest.mark.parametrize(("role", "statement"), ALLOWED)
def test_what_a_role_is_for_it_may_do(role: str, statement: str, log_in: Log) -> None:
    done = log_in(role).execute(statement).statusmessage
    assert done is not None
    assert done.split()[0] == statement.split(maxsplit=1)[0]
