"""
Keep what audits heard: the bank asked again about jobs that were final.

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "kplus_0005"
down_revision = "kplus_0004"
branch_labels = None
depends_on = None

_IN_FLIGHT = sa.text("finished_at IS NULL")


def upgrade() -> None:
    """Create the table; it refers to no job, so that it outlives one that is pruned."""
    op.create_table(
        "audits",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("partner_txn_uid", sa.String(length=64), nullable=False),
        sa.Column("partner_id", sa.String(length=64), nullable=False),
        sa.Column("wire_uid", sa.String(length=64), nullable=False),
        sa.Column("held", sa.String(length=24), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verdict", sa.String(length=8), nullable=True),
        sa.Column("heard", sa.String(length=64), nullable=True),
        sa.Column("token_status", sa.String(length=200), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "verdict IN ('agrees', 'drifts', 'unheard')", name=op.f("ck_audits_verdict_known")
        ),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (verdict IS NULL)", name=op.f("ck_audits_finished_is_judged")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audits")),
        comment="What the bank said when it was asked again about a job that was final",
    )
    op.create_index(
        "ix_audits_in_flight",
        "audits",
        ["partner_id"],
        postgresql_where=_IN_FLIGHT,
        sqlite_where=_IN_FLIGHT,
    )
    op.create_index("ix_audits_started_at", "audits", ["started_at"])


def downgrade() -> None:
    """Drop the table: what audits found is gone."""
    op.drop_index("ix_audits_started_at", "audits")
    op.drop_index("ix_audits_in_flight", "audits")
    op.drop_table("audits")
