"""What a role tries that may only insert jobs: pruned uids stay pruned, no right is gained."""

from collections.abc import Callable, Sequence

import psycopg
import pytest

from tests.security.conftest import PRUNED, Log
from tests.servers.roles import Roles
from worker.store import Store

pytestmark = pytest.mark.postgres

INSERT = (
    "INSERT INTO public.cancel_jobs (partner_txn_uid, partner_id, token_id, reference1)"
    f" VALUES ('{PRUNED}', 'P1', 'T', 'R')"
)
LOOT = (
    "CREATE TEMP TABLE loot (who name)",
    (
        "CREATE FUNCTION pg_temp.rob() RETURNS text LANGUAGE sql VOLATILE"
        f" AS $$ INSERT INTO loot VALUES (current_user); SELECT '{PRUNED}' $$"
    ),
    "GRANT INSERT, SELECT ON loot TO PUBLIC",
)
EMPTY = "CREATE TEMP TABLE tombstones (partner_txn_uid text)"
OPEN = "GRANT SELECT, UPDATE ON {} TO PUBLIC"
ATTACKS: dict[str, Sequence[str]] = {
    "an empty table of tombstones": [EMPTY, OPEN.format("tombstones")],
    "a table in which the job is final": [
        (
            f"CREATE TEMP TABLE cancel_jobs AS SELECT '{PRUNED}'::text AS partner_txn_uid,"
            " now() AS finished_at"
        ),
        OPEN.format("cancel_jobs"),
    ],
    "a view of tombstones that runs a function": [
        *LOOT,
        "CREATE TEMP VIEW tombstones AS SELECT pg_temp.rob() AS partner_txn_uid",
        OPEN.format("tombstones"),
    ],
    "a view of jobs that runs a function": [
        *LOOT,
        (
            "CREATE TEMP VIEW cancel_jobs AS"
            " SELECT pg_temp.rob() AS partner_txn_uid, now() AS finished_at"
        ),
        OPEN.format("cancel_jobs"),
    ],
    "temporary things first in the path": [
        EMPTY,
        OPEN.format("tombstones"),
        "SET search_path = pg_temp, public, pg_catalog",
    ],
    "functions of the names that are called": [
        *LOOT,
        (
            "CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE sql"
            " AS $$ SELECT pg_temp.rob()::timestamptz $$"
        ),
        (
            "CREATE FUNCTION pg_temp.current_setting(text) RETURNS text LANGUAGE sql"
            " AS $$ SELECT pg_temp.rob() $$"
        ),
        "SET search_path = pg_temp, public, pg_catalog",
        "SET default_transaction_isolation = 'repeatable read'",
    ],
    "a type of the name that is compared with": [
        EMPTY,
        "CREATE TYPE pg_temp.regclass AS ENUM ('x')",
        "SET search_path = pg_temp, public, pg_catalog",
    ],
    "settings under which nothing is found": [
        "SET enable_indexscan = off",
        "SET enable_bitmapscan = off",
        "SET enable_indexonlyscan = off",
        "SET plan_cache_mode = force_generic_plan",
    ],
    "another isolation": ["SET default_transaction_isolation = 'serializable'"],
    "a statement that was prepared before": [f"PREPARE again AS {INSERT}", "EXECUTE again"],
}


def stays_pruned(store: Store) -> None:
    assert store.reports.file(PRUNED) is None
    assert store.retention.tombstone(PRUNED) is not None


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
@pytest.mark.parametrize("public_is_open", [False, True], ids=["closed", "open"])
def test_a_pruned_uid_stays_pruned_and_no_right_is_gained(
    attack: Sequence[str],
    store: Store,
    prune: Callable[[], None],
    log_in: Log,
    *,
    public_is_open: bool,
) -> None:
    """Open is as PostgreSQL 14 makes it: everybody may create things in `public`."""
    prune()
    if public_is_open:
        log_in("superuser").execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    producer = log_in("producer")
    for statement in [*attack, INSERT]:
        producer.execute(statement)
    stays_pruned(store)
    if set(LOOT) <= set(attack):
        assert producer.execute("SELECT who FROM pg_temp.loot").fetchall() == []


def test_an_operator_of_the_producers_is_not_used_for_our_comparison(
    store: Store, prune: Callable[[], None], log_in: Log
) -> None:
    """It fits `varchar = varchar` better than PostgreSQL's own, which is that of `text`."""
    prune()
    superuser, producer = log_in("superuser"), log_in("producer")
    superuser.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    for statement in (
        "CREATE TABLE public.loot (who name)",
        "GRANT ALL ON public.loot TO PUBLIC",
        (
            "CREATE FUNCTION public.never(varchar, varchar) RETURNS boolean LANGUAGE sql VOLATILE"
            " AS $$ INSERT INTO public.loot VALUES (current_user); SELECT false $$"
        ),
        "CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = never)",
        INSERT,
    ):
        producer.execute(statement)
    assert producer.execute("SELECT who FROM public.loot").fetchall() == []
    superuser.execute("SET search_path = pg_catalog")
    assert superuser.execute("SELECT partner_txn_uid FROM public.cancel_jobs").fetchall() == []


def test_a_copy_is_guarded_like_an_insert(
    store: Store, prune: Callable[[], None], log_in: Log
) -> None:
    prune()
    columns = "partner_txn_uid, partner_id, token_id, reference1"
    cursor = log_in("producer").cursor()
    with cursor.copy(f"COPY cancel_jobs ({columns}) FROM STDIN") as copy:
        for uid in (PRUNED, "U2"):
            copy.write_row((uid, "P1", "T", "R"))
    stays_pruned(store)
    assert store.reports.file("U2") is not None


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("ending", ["", " ON CONFLICT DO NOTHING"], ids=["plain", "on conflict"])
def test_a_snapshot_from_before_the_job_does_not_bring_it_back(
    isolation: str, ending: str, store: Store, prune: Callable[[], None], log_in: Log
) -> None:
    """The tombstone cannot be seen in it; its key can be met."""
    producer = log_in("producer")
    producer.execute(f"BEGIN ISOLATION LEVEL {isolation}")
    producer.execute("SELECT count(*) FROM cancel_jobs")
    prune()
    try:
        producer.execute(INSERT + ending)
        producer.execute(INSERT.replace(PRUNED, "U2") + ending)
        producer.execute("COMMIT")
        assert store.reports.file("U2") is not None
    except psycopg.errors.SerializationFailure:
        producer.execute("ROLLBACK")
    stays_pruned(store)
    assert store.retention.tombstone("U2") is None


CAST = (
    "CREATE FUNCTION pg_temp.rob(pg_temp.spy) RETURNS varchar LANGUAGE sql VOLATILE"
    " AS $$ SELECT current_user::varchar $$"
)
REFUSED: dict[str, tuple[Sequence[str], str]] = {
    "our function on a table of his own": (
        ["CREATE TEMP TABLE mine (partner_txn_uid text)"],
        (
            "CREATE TRIGGER spy BEFORE INSERT ON mine"
            " FOR EACH ROW EXECUTE FUNCTION public.kplus_skip_pruned()"
        ),
    ),
    "our function on a type of his own": (
        [
            "CREATE TYPE pg_temp.spy AS (x int)",
            CAST,
            (
                "CREATE CAST (pg_temp.spy AS varchar) WITH FUNCTION pg_temp.rob(pg_temp.spy)"
                " AS IMPLICIT"
            ),
            "CREATE TEMP TABLE mine (partner_txn_uid pg_temp.spy)",
        ],
        (
            "CREATE TRIGGER spy BEFORE INSERT ON mine"
            " FOR EACH ROW EXECUTE FUNCTION public.kplus_skip_pruned()"
        ),
    ),
    "our function by itself": ([], "SELECT public.kplus_skip_pruned()"),
    "the trigger off": ([], "ALTER TABLE cancel_jobs DISABLE TRIGGER kplus_skip_pruned"),
    "all triggers off": ([], "SET session_replication_role = replica"),
    "another function": (
        [],
        (
            "CREATE OR REPLACE FUNCTION public.kplus_skip_pruned() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RETURN NEW; END $$"
        ),
    ),
    "the rules of a row away": ([], "DROP FUNCTION public.kplus_job_is_sound CASCADE"),
    "the rules of a row slack": ([], "ALTER FUNCTION public.kplus_job_is_sound RESET search_path"),
    "a table that inherits": ([], "CREATE TEMP TABLE mine () INHERITS (public.cancel_jobs)"),
    "an update on conflict": (
        [],
        f"{INSERT} ON CONFLICT (partner_txn_uid) DO UPDATE SET state = 'pending'",
    ),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=list(REFUSED))
def test_what_would_go_round_the_guard_is_refused(
    refused: tuple[Sequence[str], str], store: Store, prune: Callable[[], None], log_in: Log
) -> None:
    prune()
    producer = log_in("producer")
    prepared, statement = refused
    for each in prepared:
        producer.execute(each)
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported)):
        producer.execute(statement)
    stays_pruned(store)


def test_a_trigger_from_before_the_upgrade_learns_nothing_and_runs_nothing(
    log_in: Log, roles: Roles, store: Store, prune: Callable[[], None]
) -> None:
    """Once made it fires without a right on its function, so the function refuses itself."""
    prune()
    superuser, producer = log_in("superuser"), log_in("producer")
    superuser.execute(f"GRANT EXECUTE ON FUNCTION kplus_skip_pruned() TO {roles.name('producer')}")
    producer.execute("CREATE TEMP TABLE mine (partner_txn_uid text)")
    producer.execute(
        "CREATE TRIGGER spy BEFORE INSERT ON mine"
        " FOR EACH ROW EXECUTE FUNCTION public.kplus_skip_pruned()"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="guards one table only"):
        producer.execute(f"INSERT INTO mine VALUES ('{PRUNED}')")
