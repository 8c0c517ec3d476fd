"""
Hold the rules of a job's row in one function that one CHECK calls.

PostgreSQL reads the text of each CHECK anew with every statement, and a job's row had fifteen:
more than half of what the writes of a job cost (measured). A function is read once a session. It
holds the same rules, and refuses a row with the name that the CHECK had.

On PostgreSQL no row is read or written: those that are there were tried by the CHECKs that it
replaces, and migration 0016 tries them again while nobody waits. SQLite keeps its own CHECKs.

Revision: 0015, after 0014.
"""

from alembic import op

revision = "kplus_0015"
down_revision = "kplus_0014"
branch_labels = None
depends_on = None

_FINAL = "('exhausted', 'refused', 'succeeded')"
_TIMES = (
    "created_at",
    "updated_at",
    "next_attempt_at",
    "expires_at",
    "finished_at",
    "lease_ends_at",
    "hinted_at",
    "requeued_at",
    "still_payable_at",
)
_EXISTS = "{0} BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'"
_HAS_ROOM = "{0} BETWEEN 0 AND 1000000000"
_RULES = {
    "state_known": (
        "state IN ('exhausted', 'in_doubt', 'in_flight', 'pending', 'refused', 'retryable',"
        " 'succeeded')"
    ),
    "outcome_known": (
        "outcome IN ('already_cancelled', 'cancelled', 'expired', 'gave_up', 'lapsed', 'paid',"
        " 'refused', 'unknown')"
    ),
    "outcome_fits_state": (
        f"(state NOT IN {_FINAL} AND outcome IS NULL)"
        " OR (state = 'succeeded' AND outcome IS NOT NULL"
        " AND outcome IN ('already_cancelled', 'cancelled', 'expired'))"
        " OR (state = 'refused' AND outcome IS NOT NULL AND outcome IN ('paid', 'refused'))"
        " OR (state = 'exhausted' AND outcome IS NOT NULL"
        " AND outcome IN ('gave_up', 'lapsed', 'unknown'))"
    ),
    "final_is_finished": f"(state IN {_FINAL}) = (finished_at IS NOT NULL)",
    "lease_in_flight": "(state = 'in_flight') = (lease_id IS NOT NULL)",
    "lease_ends": "(lease_id IS NULL) = (lease_ends_at IS NULL)",
    "lease_has_a_kind": "(lease_id IS NULL) = (lease_kind IS NULL)",
    "lease_kind_known": "lease_kind IN ('cancel', 'inquiry')",
    "waiting_is_due": (
        "(state IN ('in_doubt', 'pending', 'retryable')) = (next_attempt_at IS NOT NULL)"
    ),
    "attempts_counted": "attempts >= 0 AND conversations >= attempts",
    "doubt_is_remembered": "state <> 'in_doubt' OR doubted",
    "unknown_was_doubted": "outcome IS NULL OR outcome <> 'unknown' OR doubted",
    "times_exist": " AND ".join(_EXISTS.format(name) for name in _TIMES),
    "counts_have_room": " AND ".join(
        _HAS_ROOM.format(name) for name in ("attempts", "conversations", "ends")
    ),
    "open_can_be_sent": (
        "finished_at IS NOT NULL OR ("
        "partner_txn_uid COLLATE \"C\" ~ '^[!-~]+$'"
        " AND partner_id COLLATE \"C\" ~ '^[!-~]+$'"
        " AND token_id COLLATE \"C\" ~ '^[!-~]+$'"
        " AND reference1 COLLATE \"C\" ~ '[^ ]'"
        r""" AND reference1 COLLATE "C" !~ '[\u0001-\u001f\u007f]')"""
    ),
}
_PARAMETERS = {
    "partner_txn_uid": "VARCHAR(64)",
    "partner_id": "VARCHAR(64)",
    "token_id": "VARCHAR(128)",
    "reference1": "VARCHAR(128)",
    "state": "VARCHAR(16)",
    "outcome": "VARCHAR(24)",
    "attempts": "INTEGER",
    "conversations": "INTEGER",
    "doubted": "BOOLEAN",
    "created_at": "TIMESTAMP WITH TIME ZONE",
    "updated_at": "TIMESTAMP WITH TIME ZONE",
    "next_attempt_at": "TIMESTAMP WITH TIME ZONE",
    "expires_at": "TIMESTAMP WITH TIME ZONE",
    "finished_at": "TIMESTAMP WITH TIME ZONE",
    "lease_id": "VARCHAR(36)",
    "lease_ends_at": "TIMESTAMP WITH TIME ZONE",
    "lease_kind": "VARCHAR(8)",
    "hinted_at": "TIMESTAMP WITH TIME ZONE",
    "requeued_at": "TIMESTAMP WITH TIME ZONE",
    "still_payable_at": "TIMESTAMP WITH TIME ZONE",
    "ends": "INTEGER",
}
# In the order in which PostgreSQL tries CHECKs: by name.
_CASES = "\n".join(
    f"        WHEN ({rule}) IS FALSE THEN 'ck_cancel_jobs_{name}'"
    for name, rule in sorted(_RULES.items())
)
_BODY = f"""
DECLARE
    broken CONSTANT text := CASE
{_CASES}
    END;
BEGIN
    IF broken IS NULL THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION 'new row for relation "cancel_jobs" violates check constraint "%"', broken
    USING ERRCODE = 'check_violation', TABLE = 'cancel_jobs', CONSTRAINT = broken;
END
"""
_SIGNATURE = ", ".join(f"{name} {kind}" for name, kind in _PARAMETERS.items())
# In the schema of the table, whatever the search_path begins with.
_UPGRADE = f"""
DO $do$
DECLARE
    home CONSTANT name := (
        SELECT nspname FROM pg_catalog.pg_namespace JOIN pg_catalog.pg_class
        ON pg_namespace.oid = relnamespace WHERE pg_class.oid = 'cancel_jobs'::pg_catalog.regclass
    );
BEGIN
    EXECUTE pg_catalog.format($sql$
CREATE FUNCTION %1$I.kplus_job_is_sound({_SIGNATURE}) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $body$%2$s$body$
$sql$, home, $text${_BODY}$text$);
    EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %I.kplus_job_is_sound TO PUBLIC', home);
    EXECUTE pg_catalog.format($sql$
ALTER TABLE cancel_jobs {", ".join(f"DROP CONSTRAINT ck_cancel_jobs_{name}" for name in _RULES)},
ADD CONSTRAINT ck_cancel_jobs_sound
CHECK (%I.kplus_job_is_sound({", ".join(_PARAMETERS)})) NOT VALID
$sql$, home);
END
$do$
"""  # noqa: S608 - all parts are ours


def upgrade() -> None:
    """Put one CHECK in the place of fifteen."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_UPGRADE)


def downgrade() -> None:
    """Put the fifteen back; that reads the table once."""
    if op.get_bind().dialect.name != "postgresql":
        return
    added = (
        f"ADD CONSTRAINT ck_cancel_jobs_{name} CHECK ({rule})" for name, rule in _RULES.items()
    )
    op.execute(f"ALTER TABLE cancel_jobs DROP CONSTRAINT ck_cancel_jobs_sound, {', '.join(added)}")
    op.execute("DROP FUNCTION kplus_job_is_sound")
