"""
Create the tables: jobs, attempts, token statuses, partners, rejected messages, acts.

Revision: 0001, the first.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "kplus_0001"
down_revision = None
branch_labels = None
depends_on = None


def _where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def upgrade() -> None:
    """Create every table and index."""
    op.create_table(
        "cancel_jobs",
        sa.Column("partner_txn_uid", sa.String(length=64), nullable=False),
        sa.Column("partner_id", sa.String(length=64), nullable=False),
        sa.Column("token_id", sa.String(length=128), nullable=False),
        sa.Column("reference1", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), server_default="pending", nullable=False),
        sa.Column("outcome", sa.String(length=24), nullable=True),
        sa.Column("token_status", sa.String(length=200), nullable=True),
        sa.Column("status_code", sa.String(length=200), nullable=True),
        sa.Column("error_code", sa.String(length=200), nullable=True),
        sa.Column("error_desc", sa.String(length=200), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("conversations", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("doubted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.Column(
            "next_attempt_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=True,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_id", sa.String(length=36), nullable=True),
        sa.Column("lease_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_kind", sa.String(length=8), nullable=True),
        sa.Column("hinted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'in_flight') = (lease_id IS NOT NULL)",
            name=op.f("ck_cancel_jobs_lease_in_flight"),
        ),
        sa.CheckConstraint(
            "(state IN ('exhausted', 'refused', 'succeeded')) = (finished_at IS NOT NULL)",
            name=op.f("ck_cancel_jobs_final_is_finished"),
        ),
        sa.CheckConstraint(
            "(state IN ('in_doubt', 'pending', 'retryable')) = (next_attempt_at IS NOT NULL)",
            name=op.f("ck_cancel_jobs_waiting_is_due"),
        ),
        sa.CheckConstraint(
            "(state NOT IN ('exhausted', 'refused', 'succeeded') AND outcome IS NULL)"
            " OR (state = 'succeeded' AND outcome IS NOT NULL AND outcome IN"
            " ('already_cancelled', 'cancelled', 'expired'))"
            " OR (state = 'refused' AND outcome IS NOT NULL AND outcome IN ('paid', 'refused'))"
            " OR (state = 'exhausted' AND outcome IS NOT NULL AND outcome IN"
            " ('gave_up', 'lapsed', 'unknown'))",
            name=op.f("ck_cancel_jobs_outcome_fits_state"),
        ),
        sa.CheckConstraint(
            "lease_kind IN ('cancel', 'inquiry')", name=op.f("ck_cancel_jobs_lease_kind_known")
        ),
        sa.CheckConstraint(
            "outcome IN ('already_cancelled', 'cancelled', 'expired', 'gave_up', 'lapsed',"
            " 'paid', 'refused', 'unknown')",
            name=op.f("ck_cancel_jobs_outcome_known"),
        ),
        sa.CheckConstraint(
            "state <> 'in_doubt' OR doubted", name=op.f("ck_cancel_jobs_doubt_is_remembered")
        ),
        sa.CheckConstraint(
            "outcome IS NULL OR outcome <> 'unknown' OR doubted",
            name=op.f("ck_cancel_jobs_unknown_was_doubted"),
        ),
        sa.CheckConstraint(
            "state IN ('exhausted', 'in_doubt', 'in_flight', 'pending', 'refused', 'retryable',"
            " 'succeeded')",
            name=op.f("ck_cancel_jobs_state_known"),
        ),
        sa.CheckConstraint(
            "(lease_id IS NULL) = (lease_ends_at IS NULL)", name=op.f("ck_cancel_jobs_lease_ends")
        ),
        sa.CheckConstraint(
            "(lease_id IS NULL) = (lease_kind IS NULL)",
            name=op.f("ck_cancel_jobs_lease_has_a_kind"),
        ),
        sa.CheckConstraint(
            "attempts >= 0 AND conversations >= attempts",
            name=op.f("ck_cancel_jobs_attempts_counted"),
        ),
        sa.PrimaryKeyConstraint("partner_txn_uid", name=op.f("pk_cancel_jobs")),
        comment="One job a partnerTxnUid: what the order system wants cancelled, and its outcome",
    )
    op.create_index(
        "ix_cancel_jobs_age",
        "cancel_jobs",
        ["created_at"],
        **_where("state IN ('in_doubt', 'pending', 'retryable')"),
    )
    op.create_index(
        "ix_cancel_jobs_conveyor",
        "cancel_jobs",
        ["expires_at", "next_attempt_at"],
        **_where("state IN ('in_doubt', 'pending', 'retryable')"),
    )
    op.create_index(
        "ix_cancel_jobs_due",
        "cancel_jobs",
        ["next_attempt_at"],
        **_where("state IN ('in_doubt', 'pending', 'retryable')"),
    )
    op.create_index(
        "ix_cancel_jobs_hinted", "cancel_jobs", ["hinted_at"], **_where("hinted_at IS NOT NULL")
    )
    op.create_index(
        "ix_cancel_jobs_leases", "cancel_jobs", ["lease_ends_at"], **_where("lease_id IS NOT NULL")
    )
    op.create_index("ix_cancel_jobs_listed", "cancel_jobs", ["state", "updated_at"])
    op.create_table(
        "operator_actions",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(length=128), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("target", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator_actions")),
        comment="What operators did, when and why",
    )
    op.create_table(
        "partners",
        sa.Column("partner_id", sa.String(length=64), nullable=False),
        sa.Column("mode", sa.String(length=8), server_default="active", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("resume_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(mode = 'cooling') = (resume_at IS NOT NULL)", name=op.f("ck_partners_cooling_ends")
        ),
        sa.CheckConstraint(
            "mode = 'active' OR reason IS NOT NULL", name=op.f("ck_partners_rest_has_a_reason")
        ),
        sa.CheckConstraint(
            "mode IN ('active', 'paused', 'cooling')", name=op.f("ck_partners_mode_known")
        ),
        sa.PrimaryKeyConstraint("partner_id", name=op.f("pk_partners")),
        comment="Whether a partner takes calls now; no row means active",
    )
    op.create_table(
        "rejected_messages",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=True),
        sa.Column("partner_txn_uid", sa.String(length=64), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("deliveries", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_rejected_messages")),
        comment="Messages that could not become a job, redacted; the same one again is counted",
    )
    op.create_index("ix_rejected_messages_last_at", "rejected_messages", ["last_at"])
    op.create_table(
        "cancel_attempts",
        sa.Column("partner_txn_uid", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("wire_uid", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("status_code", sa.String(length=200), nullable=True),
        sa.Column("error_code", sa.String(length=200), nullable=True),
        sa.Column("error_desc", sa.String(length=200), nullable=True),
        sa.Column("heard", sa.String(length=64), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("spent", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('cancel', 'inquiry')", name=op.f("ck_cancel_attempts_kind_known")
        ),
        sa.ForeignKeyConstraint(
            ["partner_txn_uid"],
            ["cancel_jobs.partner_txn_uid"],
            name=op.f("fk_cancel_attempts_partner_txn_uid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("partner_txn_uid", "number", name=op.f("pk_cancel_attempts")),
        comment="One conversation with the bank, whatever came of it: the evidence",
    )
    op.create_table(
        "token_statuses",
        sa.Column("partner_txn_uid", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("token_id", sa.String(length=200), nullable=True),
        sa.Column("reference1", sa.String(length=200), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_txn_uid"],
            ["cancel_jobs.partner_txn_uid"],
            name=op.f("fk_token_statuses_partner_txn_uid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "partner_txn_uid", "number", "position", name=op.f("pk_token_statuses")
        ),
        comment="Every entry of every tokenList, as the bank sent it",
    )


def downgrade() -> None:
    """Drop every table: all jobs and their evidence go with them."""
    op.drop_table("token_statuses")
    op.drop_table("cancel_attempts")
    op.drop_index("ix_rejected_messages_last_at", "rejected_messages")
    op.drop_table("rejected_messages")
    op.drop_table("partners")
    op.drop_table("operator_actions")
    op.drop_index("ix_cancel_jobs_listed", "cancel_jobs")
    op.drop_index("ix_cancel_jobs_leases", "cancel_jobs")
    op.drop_index("ix_cancel_jobs_hinted", "cancel_jobs")
    op.drop_index("ix_cancel_jobs_due", "cancel_jobs")
    op.drop_index("ix_cancel_jobs_conveyor", "cancel_jobs")
    op.drop_index("ix_cancel_jobs_age", "cancel_jobs")
    op.drop_table("cancel_jobs")
