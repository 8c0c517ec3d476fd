"""
Let no role gain rights by the trigger of pruned jobs, and none hold up the sweeps.

The trigger's function runs with its owner's rights. It named its tables without a schema, and
whoever may insert jobs could put temporary tables or views of these names in their place. Replacing
a function waits for no lock of a table.

The sweeps took turns by an advisory lock, which every role that may connect can hold; now by a
row. Sweeps of the version before go on with theirs: until they are gone, two may hint at once, at
up to twice the usual number of jobs, and each job still once.
"""

import sqlalchemy as sa
from alembic import op

revision = "kplus_0009"
down_revision = "kplus_0008"
branch_labels = None
depends_on = None

_FUNCTION = """
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
AS $body$
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
$body$
$sql$, home, pg_catalog.format('%I.cancel_jobs', home));
    EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %I.kplus_skip_pruned() FROM PUBLIC', home);
END
$do$
"""


def upgrade() -> None:
    """Replace the function, then create the table of locks; its rows come with their first use."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_FUNCTION)
    op.create_table(
        "locks",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_locks")),
        comment="What one process at a time may do: whoever does it holds the row locked",
    )


def downgrade() -> None:
    """Drop the table. The function stays: it serves the version before, without its hole."""
    op.drop_table("locks")
