"""
Protect the partners: who has proved itself, who probes, how fast calls may follow each other.

Beside that, what operators' acts leave on a job: requeued, reissued as another.
Every column may be null, so that a worker of the version before goes on beside this one.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "kplus_0002"
down_revision = "kplus_0001"
branch_labels = None
depends_on = None

_UNKNOWN = sa.text("heard IN ('unknown_code', 'unknown_status')")
_WAITING = sa.text("state IN ('in_doubt', 'pending', 'retryable')")


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True)


def upgrade() -> None:
    """Add the columns; replace an index that nothing asks any more."""
    op.add_column("cancel_jobs", _time("requeued_at"))
    op.add_column("cancel_jobs", _time("still_payable_at"))
    op.add_column("cancel_jobs", sa.Column("continues", sa.String(length=64), nullable=True))
    op.add_column("cancel_jobs", sa.Column("continued_by", sa.String(length=64), nullable=True))
    op.add_column("partners", sa.Column("credentials", sa.String(length=16), nullable=True))
    op.add_column("partners", _time("proven_at"))
    op.add_column("partners", sa.Column("probe_id", sa.String(length=36), nullable=True))
    op.add_column("partners", _time("probe_ends_at"))
    op.add_column("partners", _time("slot_at"))
    op.add_column("partners", sa.Column("pace", sa.Float(), nullable=True))
    op.drop_index("ix_cancel_jobs_age", "cancel_jobs")
    op.create_index(
        "ix_cancel_attempts_unknown",
        "cancel_attempts",
        ["heard", "error_code"],
        postgresql_where=_UNKNOWN,
        sqlite_where=_UNKNOWN,
    )


def downgrade() -> None:
    """
    Take all of it back.

    Lost: who has proved itself, probes and paces (learned anew); when jobs were requeued, that a
    token was still payable after its expiry, which job continues which.
    """
    op.drop_index("ix_cancel_attempts_unknown", "cancel_attempts")
    op.create_index(
        "ix_cancel_jobs_age",
        "cancel_jobs",
        ["created_at"],
        postgresql_where=_WAITING,
        sqlite_where=_WAITING,
    )
    for column in ("pace", "slot_at", "probe_ends_at", "probe_id", "proven_at", "credentials"):
        op.drop_column("partners", column)
    for column in ("continued_by", "continues", "still_payable_at", "requeued_at"):
        op.drop_column("cancel_jobs", column)
