"""
Tell the order system: an outbox for the outcomes of jobs, and whether their receivers are served.

A worker of the version before goes on beside this one; what it ends is not told. Nothing is
written here until a destination is set.

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "kplus_0007"
down_revision = "kplus_0006"
branch_labels = None
depends_on = None

_DESTINATIONS = "destination IN ('message', 'webhook')"


def _partial_index(name: str, *columns: str, where: str) -> None:
    rows = sa.text(where)
    op.create_index(name, "outbox", columns, postgresql_where=rows, sqlite_where=rows)


def upgrade() -> None:
    """Create both tables, then count the ends of jobs from now on."""
    op.create_table(
        "outbox",
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("destination", sa.String(length=8), nullable=False),
        sa.Column("partner_txn_uid", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), server_default="waiting", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_id", sa.String(length=36), nullable=True),
        sa.Column("fault", sa.String(length=200), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(_DESTINATIONS, name=op.f("ck_outbox_destination_known")),
        sa.CheckConstraint(
            "state IN ('dead', 'delivered', 'waiting')", name=op.f("ck_outbox_state_known")
        ),
        sa.CheckConstraint(
            "(state = 'waiting') = (next_attempt_at IS NOT NULL)",
            name=op.f("ck_outbox_waiting_is_due"),
        ),
        sa.CheckConstraint(
            "(state = 'delivered') = (delivered_at IS NOT NULL)",
            name=op.f("ck_outbox_delivered_once"),
        ),
        sa.PrimaryKeyConstraint("event_id", "destination", name=op.f("pk_outbox")),
        comment="What the order system is told of a job's end, once for each way to tell it",
    )
    op.create_index("ix_outbox_of_a_job", "outbox", ["partner_txn_uid", "destination", "number"])
    _partial_index("ix_outbox_due", "destination", "next_attempt_at", where="state = 'waiting'")
    _partial_index(
        "ix_outbox_untold", "destination", "state", "created_at", where="state <> 'delivered'"
    )
    _partial_index("ix_outbox_delivered", "delivered_at", where="state = 'delivered'")
    op.create_table(
        "endpoints",
        sa.Column("destination", sa.String(length=8), nullable=False),
        sa.Column("mode", sa.String(length=8), server_default="active", nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("resume_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(_DESTINATIONS, name=op.f("ck_endpoints_destination_known")),
        sa.CheckConstraint("mode IN ('active', 'disabled')", name=op.f("ck_endpoints_mode_known")),
        sa.CheckConstraint(
            "mode = 'active' OR reason IS NOT NULL", name=op.f("ck_endpoints_disabled_has_a_reason")
        ),
        sa.PrimaryKeyConstraint("destination", name=op.f("pk_endpoints")),
        comment="Whether a receiver of outcomes is served now; no row means that it is",
    )
    op.add_column(
        "cancel_jobs", sa.Column("ends", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )


def downgrade() -> None:
    """
    Forget what was not delivered yet, and how often each job has ended.

    After another upgrade the ends are counted anew: an order system that remembers the ids of
    events takes the end of a job that was requeued for the one before.
    """
    op.drop_column("cancel_jobs", "ends")
    op.drop_table("endpoints")
    op.drop_table("outbox")
