"""
The table of the jobs, and the invariants of `states` again as CHECKs.

No statement, ours or an operator's, can store a job with columns that contradict each other.
"""

from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    String,
    Table,
    event,
    text,
)

from worker.domain.claims import ClaimKind
from worker.domain.folding import MANY_CONVERSATIONS
from worker.domain.states import ALARMING, FINAL, OUTCOMES, WAITING, Outcome, State
from worker.store.engine.column_types import Utc, listed, partial_index
from worker.store.schema import triggers
from worker.store.schema.metadata import metadata

_WAITING = f"state IN ({listed(sorted(WAITING))})"
_FINAL = f"({listed(sorted(FINAL))})"
_IS_DUE_SOMETIME = "next_attempt_at IS NOT NULL"
_ALARMING = listed(sorted(ALARMING))


def _unseen(of: str) -> str:
    # A new end is unseen also where a version that knows no `seen_at` requeued the job.
    seen = f"{of}seen_at IS NULL OR {of}seen_at < {of}finished_at"
    return f"{of}outcome IN ({_ALARMING}) AND {of}continued_by IS NULL AND ({seen})"


UNSEEN = _unseen("cancel_jobs.")
"""The condition of an end that a person has to see and nobody has; an index serves it."""
_OUTCOME_OF_STATE = " OR ".join(
    f"(state = '{state}' AND outcome IS NOT NULL AND outcome IN ({listed(sorted(outcomes))}))"
    for state, outcomes in OUTCOMES.items()
)

RULES: Mapping[str, str] = MappingProxyType(
    {
        "state_known": f"state IN ({listed(sorted(State))})",
        "outcome_known": f"outcome IN ({listed(sorted(Outcome))})",
        "outcome_fits_state": (
            f"(state NOT IN {_FINAL} AND outcome IS NULL) OR {_OUTCOME_OF_STATE}"
        ),
        "final_is_finished": f"(state IN {_FINAL}) = (finished_at IS NOT NULL)",
        "lease_in_flight": f"(state = '{State.IN_FLIGHT}') = (lease_id IS NOT NULL)",
        "lease_ends": "(lease_id IS NULL) = (lease_ends_at IS NULL)",
        "lease_has_a_kind": "(lease_id IS NULL) = (lease_kind IS NULL)",
        "lease_kind_known": f"lease_kind IN ({listed(ClaimKind)})",
        "waiting_is_due": f"({_WAITING}) = (next_attempt_at IS NOT NULL)",
        "attempts_counted": "attempts >= 0 AND conversations >= attempts",
        "doubt_is_remembered": f"state <> '{State.IN_DOUBT}' OR doubted",
        "unknown_was_doubted": f"outcome IS NULL OR outcome <> '{Outcome.UNKNOWN}' OR doubted",
    }
)
"""What a job in its state is and is not, by name, as conditions that both databases read."""

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
    *(
        # On PostgreSQL one function holds all: worker/store/schema/soundness.py.
        CheckConstraint(rule, name=name, info={"only": "sqlite"}).ddl_if(dialect="sqlite")
        for name, rule in RULES.items()
    ),
    # By the rules above these jobs wait. With `state` as a second condition PostgreSQL expects
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
