"""What becomes of an order at the door, and the statement that lets it in."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Boolean, bindparam, case

from worker.models import cancel_jobs
from worker.states import Outcome, State
from worker.store.database import AnyRow, Database, Now
from worker.store.known import is_same, state_of
from worker.store.moves import JOBS


class Status(StrEnum):
    """What became of an order at the door."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The answer of `accept`: what became of the order, and where its job stands."""

    status: Status
    state: State
    outcome: Outcome | None


def compared(stored: AnyRow, order: Mapping[str, Any]) -> Acceptance:
    """Say what an order is beside the job, or the tombstone, that has its uid."""
    return Acceptance(
        Status.DUPLICATE if is_same(stored, order) else Status.CONFLICT,
        state_of(stored),
        Outcome(stored.outcome) if stored.outcome else None,
    )


def accepting(database: Database) -> Any:
    """Return the insert of an order whose uid is new; `hinted` as for `Jobs.accept`."""
    return (
        database.insert(cancel_jobs)
        .values(
            partner_txn_uid=bindparam("uid"),
            partner_id=bindparam("partner_id"),
            token_id=bindparam("token_id"),
            reference1=bindparam("reference1"),
            expires_at=bindparam("expires_at"),
            created_at=Now(),
            updated_at=Now(),
            next_attempt_at=Now(),
            hinted_at=case((bindparam("hinted", type_=Boolean()), Now()), else_=None),
        )
        .on_conflict_do_nothing()
        # An insert that did nothing returns no row; its rowcount says -1 (measured).
        .returning(JOBS.partner_txn_uid)
    )
