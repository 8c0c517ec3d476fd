"""
The tables, and the invariants of `states` again as CHECKs.

No statement, ours or an operator's, can store a job with columns that contradict each other.
"""

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
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    event,
    text,
)

from worker.domain.claims import ClaimKind
from worker.domain.destinations import Destination, EndpointMode
from worker.domain.events import OutboxState
from worker.domain.folding import MANY_CONVERSATIONS
from worker.domain.partners import PartnerMode
from worker.domain.states import ALARMING, FINAL, OUTCOMES, WAITING, Outcome, State
from worker.store.engine.column_types import Utc, listed, partial_index
from worker.store.schema import triggers
from worker.store.schema.rules import hold

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


_WAITING = f"state IN ({listed(sorted(WAITING))})"
_ACTIVE = f"mode = '{PartnerMode.ACTIVE}'"
_COOLING = f"mode = '{PartnerMode.COOLING}'"
_ENABLED = f"mode = '{EndpointMode.ACTIVE}'"
_NOT_DELIVERED = f"state <> '{OutboxState.DELIVERED}'"
_WAITS = f"state = '{OutboxState.WAITING}'"
_DELIVERED = f"state = '{OutboxState.DELIVERED}'"
_FINAL = f"({listed(sorted(FINAL))})"
_IS_DUE_SOMETIME = "next_attempt_at IS NOT NULL"
_ALARMING = listed(sorted(ALARMING))


def _unseen(of: str) -> str:
    # A new end is unseen also where a version that knows no `seen_at` requeued the job.
    seen = f"{of}seen_at IS NULL OR {of}seen_at < {of}finished_at"
    return f"{of}outcome IN ({_ALARMING}) AND {of}continued_by IS NULL AND ({seen})"


UNSEEN = _unseen("cancel_jobs.")
"""The condition of an end that a person has to see and nobody has; an index serves it."""
DRIFTS = "verdict = 'drifts'"
_OUTCOME_OF_STATE = " OR ".join(
    f"(state = '{state}' AND outcome IS NOT NULL AND outcome IN ({listed(sorted(outcomes))}))"
    for state, outcomes in OUTCOMES.items()
)

cancel_jobs = Table(
    "cancel_jobs",
    metadata,
    Column("partner_txn_uid", String(64), primary_key=True),
    Column("partner_id", String(64), nullable=False),
    Column("token_id", String(128), nullable=False),
    Column("reference1", String(128), nullable=False),
    Column("state", String(16), nullable=False, server_default=State.PENDING),
    Column("outcome", String(24)),
    Column("token_status", String(200)),
    Column("status_code", String(200)),
    Column("error_code", String(200)),
    Column("error_desc", String(200)),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("conversations", Integer, nullable=False, server_default=text("0")),
    Column("doubted", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", Utc, nullable=False, server_default=text("CURRENT_TIMESTAMP")),
    Column("updated_at", Utc, nullable=False, server_default=text("CURRENT_TIMESTAMP")),
    Column("next_attempt_at", Utc, server_default=text("CURRENT_TIMESTAMP")),
    # One that cannot be read counts as none.
    Column("expires_at", Utc(or_none=True)),
    Column("finished_at", Utc),
    Column("lease_id", String(36)),
    Column("lease_ends_at", Utc),
    Column("lease_kind", String(8)),
    Column("hinted_at", Utc),
    Column("hints", Integer, nullable=False, server_default=text("0")),
    Column("requeued_at", Utc(or_none=True)),
    Column("still_payable_at", Utc),
    Column("ends", Integer, nullable=False, server_default=text("0")),
    Column("continues", String(64)),
    Column("continued_by", String(64)),
    Column("same_token", Boolean, nullable=False, server_default=text("false")),
    Column("uncounted", Integer, nullable=False, server_default=text("0")),
    Column("folded_at", Utc),
    Column("seen_at", Utc),
    CheckConstraint(f"state IN ({listed(sorted(State))})", name="state_known"),
    CheckConstraint(f"outcome IN ({listed(sorted(Outcome))})", name="outcome_known"),
    CheckConstraint(
        f"(state NOT IN {_FINAL} AND outcome IS NULL) OR {_OUTCOME_OF_STATE}",
        name="outcome_fits_state",
    ),
    CheckConstraint(f"(state IN {_FINAL}) = (finished_at IS NOT NULL)", name="final_is_finished"),
    CheckConstraint(
        f"(state = '{State.IN_FLIGHT}') = (lease_id IS NOT NULL)", name="lease_in_flight"
    ),
    CheckConstraint("(lease_id IS NULL) = (lease_ends_at IS NULL)", name="lease_ends"),
    CheckConstraint("(lease_id IS NULL) = (lease_kind IS NULL)", name="lease_has_a_kind"),
    CheckConstraint(f"lease_kind IN ({listed(ClaimKind)})", name="lease_kind_known"),
    CheckConstraint(f"({_WAITING}) = (next_attempt_at IS NOT NULL)", name="waiting_is_due"),
    CheckConstraint("attempts >= 0 AND conversations >= attempts", name="attempts_counted"),
    CheckConstraint(f"state <> '{State.IN_DOUBT}' OR doubted", name="doubt_is_remembered"),
    CheckConstraint(
        f"outcome IS NULL OR outcome <> '{Outcome.UNKNOWN}' OR doubted",
        name="unknown_was_doubted",
    ),
    # By the CHECK above these jobs wait. With `state` as a second condition PostgreSQL expects
    # so few rows that it sorts them all (docs/explanation/performance.md).
    partial_index("ix_cancel_jobs_due", "next_attempt_at", where=_IS_DUE_SOMETIME),
    partial_index(
        "ix_cancel_jobs_conveyor", "expires_at", "next_attempt_at", where=_IS_DUE_SOMETIME
    ),
    # The sweep's way past what waits of other partners, and past what is hinted at already.
    partial_index(
        "ix_cancel_jobs_turns",
        "partner_id",
        "hints",
        "expires_at",
        "next_attempt_at",
        where=f"{_IS_DUE_SOMETIME} AND hinted_at IS NULL",
    ),
    partial_index("ix_cancel_jobs_hinted", "hinted_at", where="hinted_at IS NOT NULL"),
    partial_index("ix_cancel_jobs_leases", "lease_ends_at", where="lease_id IS NOT NULL"),
    # Nearly no job is in it: it costs what every job needs nothing, and an empty look nothing.
    partial_index(
        "ix_cancel_jobs_long",
        "folded_at",
        where=f"{_IS_DUE_SOMETIME} AND conversations > {MANY_CONVERSATIONS}",
    ),
    Index("ix_cancel_jobs_listed", "state", "updated_at"),
    Index("ix_cancel_jobs_counted", "state", "outcome", "attempts"),
    Index("ix_cancel_jobs_token", "token_id"),
    partial_index("ix_cancel_jobs_same_token", "updated_at", where="same_token"),
    partial_index("ix_cancel_jobs_unseen", "outcome", "finished_at", where=_unseen("")),
    comment="One job a partnerTxnUid: what the order system wants cancelled, and its outcome",
)
JOBS = cancel_jobs.c
"""The columns of a job, as the statements name them."""

for _kind, _statements in triggers.CREATE.items():
    for _statement in _statements:
        _made = triggers.as_ddl(_statement)
        event.listen(cancel_jobs, "after_create", _made.execute_if(dialect=_kind))

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
