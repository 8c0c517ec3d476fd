"""
Fold the evidence of long doubt, and count no conversation from before a requeue.

A job that is asked about for days keeps few rows: one row may stand for many conversations that
ended alike (`folded`, `folded_minutes`). `uncounted` says which conversations lengthen no wait,
`partners.resumed_at` when a pause ended: no job ages before it.

Adding the columns rewrites no row. The index holds the few jobs with many conversations, but is
built by reading the table once: who writes waits that long, less than a second with a million
jobs (measured). Workers of the version before go on: they fold nothing, and count as they did.

Going back loses what was folded: the numbers of `cancel_attempts` then have gaps.

Revision: 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "kplus_0012"
down_revision = "kplus_0011"
branch_labels = None
depends_on = None

_LONG = sa.text("next_attempt_at IS NOT NULL AND conversations > 30")
_NOUGHT = sa.text("0")


def upgrade() -> None:
    """Add the columns and the index of jobs with many conversations."""
    op.add_column(
        "cancel_jobs", sa.Column("uncounted", sa.Integer(), nullable=False, server_default=_NOUGHT)
    )
    op.add_column("cancel_jobs", sa.Column("folded_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "cancel_attempts", sa.Column("folded", sa.Integer(), nullable=False, server_default=_NOUGHT)
    )
    op.add_column("cancel_attempts", sa.Column("folded_minutes", sa.JSON(), nullable=True))
    op.add_column("partners", sa.Column("resumed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_cancel_jobs_long",
        "cancel_jobs",
        ["folded_at"],
        postgresql_where=_LONG,
        sqlite_where=_LONG,
    )


def downgrade() -> None:
    """Drop them: what was folded is gone."""
    op.drop_index("ix_cancel_jobs_long", "cancel_jobs")
    op.drop_column("partners", "resumed_at")
    op.drop_column("cancel_attempts", "folded_minutes")
    op.drop_column("cancel_attempts", "folded")
    op.drop_column("cancel_jobs", "folded_at")
    op.drop_column("cancel_jobs", "uncounted")
