"""
Give others the turn: of a job that is hinted and never claimed, and of a first call that failed.

The index lets a pass of the sweep find the due jobs of one partner without reading those of the
others. The counters begin at nought, and a worker of the version before leaves them so: it hints
as it did. None of its indexes is dropped, since its sweep and `stats` read them.

Who writes waits for the index. It holds only what waits; to build it the table is read once.

Revision: 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "kplus_0011"
down_revision = "kplus_0010"
branch_labels = None
depends_on = None

_TURNS = "ix_cancel_jobs_turns"
_UNHINTED = sa.text("next_attempt_at IS NOT NULL AND hinted_at IS NULL")


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text("0"))


def upgrade() -> None:
    """Add the counters, the second first call, and the index."""
    op.add_column("cancel_jobs", _count("hints"))
    op.add_column("partners", sa.Column("second_probe_id", sa.String(length=36), nullable=True))
    op.add_column(
        "partners", sa.Column("second_probe_ends_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("partners", sa.Column("probe_uid", sa.String(length=64), nullable=True))
    op.add_column("partners", _count("failed_probes"))
    op.create_index(
        _TURNS,
        "cancel_jobs",
        ["partner_id", "hints", "expires_at", "next_attempt_at"],
        postgresql_where=_UNHINTED,
        sqlite_where=_UNHINTED,
    )


def downgrade() -> None:
    """Take it back. Lost: who was hinted at in vain, and which first call failed."""
    op.drop_index(_TURNS, "cancel_jobs")
    for column in ("failed_probes", "probe_uid", "second_probe_ends_at", "second_probe_id"):
        op.drop_column("partners", column)
    op.drop_column("cancel_jobs", "hints")
