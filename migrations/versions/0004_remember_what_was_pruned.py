"""
Remember what was pruned: a tombstone for each uid, and a trigger that heeds it.

Nothing is pruned before an operator says so, and then every process must run this version:
older ones do not know what a tombstone is.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "kplus_0004"
down_revision = "kplus_0003"
branch_labels = None
depends_on = None

_FUNCTION = """
CREATE FUNCTION kplus_skip_pruned() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM 1 FROM cancel_jobs
    WHERE partner_txn_uid = NEW.partner_txn_uid AND finished_at IS NOT NULL
    FOR KEY SHARE;
    IF FOUND THEN
        RETURN NEW;
    END IF;
    PERFORM 1 FROM tombstones WHERE partner_txn_uid = NEW.partner_txn_uid;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$
"""
_TRIGGER = """
CREATE TRIGGER kplus_skip_pruned BEFORE INSERT ON cancel_jobs
FOR EACH ROW EXECUTE FUNCTION kplus_skip_pruned()
"""
_TRIGGER_SQLITE = """
CREATE TRIGGER kplus_skip_pruned BEFORE INSERT ON cancel_jobs
WHEN EXISTS (SELECT 1 FROM tombstones WHERE partner_txn_uid = NEW.partner_txn_uid)
BEGIN
    SELECT RAISE(IGNORE);
END
"""


def upgrade() -> None:
    """Create the table, then the trigger that reads it."""
    op.create_table(
        "tombstones",
        sa.Column("partner_txn_uid", sa.String(length=64), nullable=False),
        sa.Column("partner_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.String(length=24), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("pruned_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('already_cancelled', 'cancelled', 'expired', 'gave_up', 'lapsed',"
            " 'paid', 'refused', 'unknown')",
            name=op.f("ck_tombstones_outcome_known"),
        ),
        sa.PrimaryKeyConstraint("partner_txn_uid", name=op.f("pk_tombstones")),
        comment="What is kept for ever of a job that was pruned: its uid never becomes a job again",
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_TRIGGER_SQLITE)
    else:
        op.execute(_FUNCTION)
        op.execute(_TRIGGER)


def downgrade() -> None:
    """Forget what was pruned: a late delivery of it becomes a job again."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER kplus_skip_pruned")
    else:
        op.execute("DROP TRIGGER kplus_skip_pruned ON cancel_jobs")
        op.execute("DROP FUNCTION kplus_skip_pruned()")
    op.drop_table("tombstones")
