"""The tables. That of the jobs is in `job_table`; the others are about it, or beside it."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from worker.domain.claims import ClaimKind
from worker.domain.destinations import Destination, EndpointMode
from worker.domain.events import OutboxState
from worker.domain.partners import PartnerMode
from worker.domain.states import Outcome
from worker.store.engine.column_types import Utc, listed, partial_index
from worker.store.schema.job_table import JOBS, UNSEEN, cancel_jobs
from worker.store.schema.metadata import metadata
from worker.store.schema.rules import hold

__all__ = [
    "DRIFTS",
    "JOBS",
    "UNSEEN",
    "audits",
    "cancel_attempts",
    "cancel_jobs",
    "endpoints",
    "locks",
    "metadata",
    "operator_actions",
    "outbox",
    "partners",
    "rejected_counts",
    "rejected_messages",
    "token_statuses",
    "tombstones",
]

_ACTIVE = f"mode = '{PartnerMode.ACTIVE}'"
_COOLING = f"mode = '{PartnerMode.COOLING}'"
_ENABLED = f"mode = '{EndpointMode.ACTIVE}'"
_NOT_DELIVERED = f"state <> '{OutboxState.DELIVERED}'"
_WAITS = f"state = '{OutboxState.WAITING}'"
_DELIVERED = f"state = '{OutboxState.DELIVERED}'"
DRIFTS = "verdict = 'drifts'"

tombstones = Table(
    "tombstones",
    metadata,
    Column("partner_txn_uid", String(64), primary_key=True),
    Column("partner_id", String(64), nullable=False),
    Column("digest", String(32), nullable=False),
    Column("outcome", String(24), nullable=False),
    Column("finished_at", Utc, nullable=False),
    Column("pruned_at", Utc, nullable=False),
    CheckConstraint(f"outcome IN ({listed(sorted(Outcome))})", name="outcome_known"),
    comment="What is kept for ever of a job that was pruned: its uid never becomes a job again",
)

cancel_attempts = Table(
    "cancel_attempts",
    metadata,
    Column(
        "partner_txn_uid",
        String(64),
        ForeignKey(cancel_jobs.c.partner_txn_uid, ondelete="CASCADE"),
        nullable=False,
    ),
    Column("number", Integer, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("wire_uid", String(64), nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("finished_at", Utc, nullable=False),
    Column("duration_ms", Integer),
    Column("http_status", Integer),
    Column("status_code", String(200)),
    Column("error_code", String(200)),
    Column("error_desc", String(200)),
    Column("heard", String(64), nullable=False),
    Column("decision", String(16), nullable=False),
    Column("spent", Boolean, nullable=False),
    Column("detail", Text, nullable=False),
    Column("short_code", String(200)),
    Column("folded", Integer, nullable=False, server_default=text("0")),
    Column("folded_minutes", JSON(none_as_null=True)),
    PrimaryKeyConstraint("partner_txn_uid", "number"),
    CheckConstraint(f"kind IN ({listed(ClaimKind)})", name="kind_known"),
    partial_index(
        "ix_cancel_attempts_unknown",
        "heard",
        "error_code",
        where="heard IN ('unknown_code', 'unknown_status')",
    ),
    comment="One conversation with the bank, whatever came of it: the evidence",
)

token_statuses = Table(
    "token_statuses",
    metadata,
    Column(
        "partner_txn_uid",
        String(64),
        ForeignKey(cancel_jobs.c.partner_txn_uid, ondelete="CASCADE"),
        nullable=False,
    ),
    Column("number", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("token_id", String(200)),
    Column("reference1", String(200)),
    Column("status", Text),
    Column("observed_at", Utc, nullable=False),
    PrimaryKeyConstraint("partner_txn_uid", "number", "position"),
    comment="Every entry of every tokenList, as the bank sent it",
)

audits = Table(
    "audits",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("partner_txn_uid", String(64), nullable=False),
    Column("partner_id", String(64), nullable=False),
    Column("wire_uid", String(64), nullable=False),
    Column("held", String(24), nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("ends_at", Utc, nullable=False),
    Column("finished_at", Utc),
    Column("verdict", String(8)),
    Column("heard", String(64)),
    Column("token_status", String(200)),
    Column("detail", Text),
    CheckConstraint("verdict IN ('agrees', 'drifts', 'unheard')", name="verdict_known"),
    CheckConstraint("(finished_at IS NULL) = (verdict IS NULL)", name="finished_is_judged"),
    partial_index("ix_audits_in_flight", "partner_id", where="finished_at IS NULL"),
    partial_index("ix_audits_drifts", "partner_txn_uid", where=DRIFTS),
    Index("ix_audits_started_at", "started_at"),
    comment="What the bank said when it was asked again about a job that was final",
)

partners = Table(
    "partners",
    metadata,
    Column("partner_id", String(64), primary_key=True),
    Column("mode", String(8), nullable=False, server_default=PartnerMode.ACTIVE),
    Column("reason", Text),
    Column("resume_at", Utc),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("updated_at", Utc, nullable=False, server_default=text("CURRENT_TIMESTAMP")),
    Column("credentials", String(16)),
    Column("proven_at", Utc),
    Column("probe_id", String(36)),
    Column("probe_ends_at", Utc),
    Column("second_probe_id", String(36)),
    Column("second_probe_ends_at", Utc),
    Column("probe_uid", String(64)),
    Column("failed_probes", Integer, nullable=False, server_default=text("0")),
    Column("slot_at", Utc),
    Column("pace", Float),
    Column("resumed_at", Utc),
    CheckConstraint(f"mode IN ({listed(PartnerMode)})", name="mode_known"),
    CheckConstraint(f"({_COOLING}) = (resume_at IS NOT NULL)", name="cooling_ends"),
    CheckConstraint(f"{_ACTIVE} OR reason IS NOT NULL", name="rest_has_a_reason"),
    comment="Whether a partner takes calls now; no row means active",
)

rejected_messages = Table(
    "rejected_messages",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("reason", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("task", String(200)),
    Column("partner_txn_uid", String(64)),
    Column("body", Text, nullable=False),
    Column("deliveries", Integer, nullable=False, server_default=text("1")),
    Column("first_at", Utc, nullable=False),
    Column("last_at", Utc, nullable=False),
    Column("kind", String(40)),
    Column("place", Integer),
    Index("ix_rejected_messages_last_at", "last_at"),
    Index(
        "uq_rejected_messages_place",
        "kind",
        "place",
        unique=True,
        postgresql_where=text("place IS NOT NULL"),
        sqlite_where=text("place IS NOT NULL"),
    ),
    comment="Messages that could not become a job, redacted; the same one again is counted",
)

rejected_counts = Table(
    "rejected_counts",
    metadata,
    Column("kind", String(40), primary_key=True),
    Column("reason", String(32), nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("not_kept", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    comment="How many different rejected messages of each kind came, and were not kept",
)

operator_actions = Table(
    "operator_actions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Utc, nullable=False),
    Column("who", String(128), nullable=False),
    Column("action", String(32), nullable=False),
    Column("target", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("before", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    comment="What operators did, when and why",
)

outbox = Table(
    "outbox",
    metadata,
    Column("event_id", String(36), nullable=False),
    Column("destination", String(8), nullable=False),
    Column("partner_txn_uid", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False, server_default=OutboxState.WAITING),
    Column("created_at", Utc, nullable=False),
    Column("next_attempt_at", Utc),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("tried_at", Utc),
    Column("lease_id", String(36)),
    Column("fault", String(200)),
    Column("delivered_at", Utc),
    PrimaryKeyConstraint("event_id", "destination"),
    CheckConstraint(f"destination IN ({listed(sorted(Destination))})", name="destination_known"),
    CheckConstraint(f"state IN ({listed(sorted(OutboxState))})", name="state_known"),
    CheckConstraint(f"({_WAITS}) = (next_attempt_at IS NOT NULL)", name="waiting_is_due"),
    CheckConstraint(f"({_DELIVERED}) = (delivered_at IS NOT NULL)", name="delivered_once"),
    # In this order a job's events are delivered.
    Index("ix_outbox_of_a_job", "partner_txn_uid", "destination", "number"),
    partial_index("ix_outbox_due", "destination", "next_attempt_at", where=_WAITS),
    partial_index("ix_outbox_untold", "destination", "state", "created_at", where=_NOT_DELIVERED),
    partial_index("ix_outbox_delivered", "delivered_at", where=_DELIVERED),
    comment="What the order system is told of a job's end, once for each way to tell it",
)

locks = Table(
    "locks",
    metadata,
    Column("name", String(16), primary_key=True),
    comment="What one process at a time may do: whoever does it holds the row locked",
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("destination", String(8), primary_key=True),
    Column("mode", String(8), nullable=False, server_default=EndpointMode.ACTIVE),
    Column("reason", String(200)),
    Column("resume_at", Utc),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("updated_at", Utc, nullable=False),
    CheckConstraint(f"destination IN ({listed(sorted(Destination))})", name="destination_known"),
    CheckConstraint(f"mode IN ({listed(EndpointMode)})", name="mode_known"),
    CheckConstraint(f"{_ENABLED} OR reason IS NOT NULL", name="disabled_has_a_reason"),
    comment="Whether a receiver of outcomes is served now; no row means that it is",
)

hold(metadata)
