"""
The trigger that keeps the uid of a pruned job from becoming a job again.

It guards every insert: the store's, a producer's own session's, and plain SQL. On PostgreSQL its
function runs with its owner's rights, because who inserts may neither lock a job nor see the
tombstones (docs/adr/0020).
"""

from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy import DDL

FUNCTION = "kplus_skip_pruned"
CONFIG = ("search_path=pg_catalog, pg_temp", "enable_seqscan=off")
"""
The settings under which the function runs, as PostgreSQL lists them.

Without pg_temp at the end, temporary tables of the caller come first. enable_seqscan off: a plan
made on an empty table would read the whole table for each row (measured: 150 times as slow).
"""

# `format` fills in %1$I, the schema, and %2$L, the table with its schema. Both are fixed when the
# function is made: whatever the caller's search_path or temporary tables, the names are ours.
#
# VOLATILE: each statement sees what was committed before it. FOR KEY SHARE: a prune of this job
# that is under way is waited for; then the row is found, or the tombstone. A transaction with a
# snapshot of its own cannot see a tombstone that is younger; the key of one can be met all the
# same, so it is tried, and taken back.
BODY = """
BEGIN
    IF TG_RELID <> %2$L::pg_catalog.regclass THEN
        RAISE EXCEPTION 'this function guards one table only' USING ERRCODE = '42501';
    END IF;
    PERFORM 1 FROM %1$I.cancel_jobs AS job
    WHERE job.partner_txn_uid = NEW.partner_txn_uid AND job.finished_at IS NOT NULL
    FOR KEY SHARE;
    IF FOUND THEN
        RETURN NEW;
    END IF;
    PERFORM 1 FROM %1$I.tombstones AS pruned WHERE pruned.partner_txn_uid = NEW.partner_txn_uid;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    IF pg_catalog.current_setting('transaction_isolation') <> 'read committed' THEN
        BEGIN
            INSERT INTO %1$I.tombstones
                (partner_txn_uid, partner_id, digest, outcome, finished_at, pruned_at)
            VALUES (NEW.partner_txn_uid, '', '', 'unknown', pg_catalog.now(), pg_catalog.now());
            RAISE EXCEPTION USING ERRCODE = 'KP000';
        EXCEPTION
            WHEN unique_violation THEN
                RETURN NULL;
            WHEN SQLSTATE 'KP000' THEN
                NULL;
        END;
    END IF;
    RETURN NEW;
END
"""
"""The function's body, as `format` takes it."""

# EXECUTE is asked for when a trigger is made, not when it fires: nobody else can put this function
# on a table of his own.
_POSTGRESQL_FUNCTION = f"""
DO $do$
DECLARE
    home CONSTANT name := (
        SELECT nspname FROM pg_catalog.pg_namespace JOIN pg_catalog.pg_class
        ON pg_namespace.oid = relnamespace WHERE pg_class.oid = 'cancel_jobs'::pg_catalog.regclass
    );
BEGIN
    EXECUTE pg_catalog.format($sql$
CREATE OR REPLACE FUNCTION %1$I.kplus_skip_pruned() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp SET enable_seqscan TO off
AS $body${BODY}$body$
$sql$, home, pg_catalog.format('%I.cancel_jobs', home));
    EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %I.kplus_skip_pruned() FROM PUBLIC', home);
END
$do$
"""  # noqa: S608 - both parts are ours
_POSTGRESQL_TRIGGER = """
CREATE OR REPLACE TRIGGER kplus_skip_pruned BEFORE INSERT ON cancel_jobs
FOR EACH ROW EXECUTE FUNCTION kplus_skip_pruned()
"""
# One writer at a time: no prune can run between the check and the insert.
SQLITE = """
CREATE TRIGGER kplus_skip_pruned BEFORE INSERT ON cancel_jobs
WHEN EXISTS (SELECT 1 FROM tombstones WHERE partner_txn_uid = NEW.partner_txn_uid)
BEGIN
    SELECT RAISE(IGNORE);
END
"""

CREATE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"postgresql": (_POSTGRESQL_FUNCTION, _POSTGRESQL_TRIGGER), "sqlite": (SQLITE,)}
)
"""The statements that create them, by the kind of database."""


def as_ddl(statement: str) -> DDL:
    """Return one of the statements as it can be executed: a percent sign stays one."""
    return DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
