"""The one statement that writes `state`: guarded by the arrows of `states`, and by a lease."""

from sqlalchemy import (
    ColumnElement,
    String,
    Update,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    or_,
    true,
    update,
)

from worker.domain import events
from worker.domain.states import TRANSITIONS, Event, Outcome, State
from worker.store.engine.elements import Exists, InList, Now, NowPlus, one_more
from worker.store.schema.tables import JOBS, cancel_jobs

EVENT_COLUMNS = tuple(cancel_jobs.c[column] for column in events.FIELDS.values())
"""What a statement that may end a job must return: its event is made from it."""
NO_LEASE = {"lease_id": None, "lease_ends_at": None, "lease_kind": None}
_WAIT: dict[str, object] = {
    "next_attempt_at": NowPlus("wait_seconds"),
    "hinted_at": None,
    **NO_LEASE,
}
_END: dict[str, object] = {
    "outcome": bindparam("new_outcome"),
    "finished_at": Now(),
    "ends": one_more(JOBS.ends),
    "next_attempt_at": None,
    "hinted_at": None,
    **NO_LEASE,
}
# `conversations` goes on, since it numbers the evidence; `doubted` stays, since it is true.
_AGAIN: dict[str, object] = {
    "outcome": None,
    "finished_at": None,
    "seen_at": None,
    "attempts": 0,
    # The waits before its inquiries are those of a fresh job.
    "uncounted": JOBS.conversations,
    "next_attempt_at": Now(),
    "hinted_at": None,
    "hints": 0,
    "requeued_at": Now(),
}
_WRITTEN: dict[Event, dict[str, object]] = {
    Event.SUCCEED: _END,
    Event.REFUSE: _END,
    # If an operator requeues the job, it must still know of its doubt.
    Event.EXHAUST: {
        **_END,
        "doubted": or_(
            JOBS.doubted, bindparam("new_outcome", type_=String()) == str(Outcome.UNKNOWN)
        ),
    },
    Event.RETRY: _WAIT,
    Event.DOUBT: {**_WAIT, "doubted": True},
    Event.DISCARD: {name: value for name, value in _END.items() if name != "outcome"},
    Event.REQUEUE: _AGAIN,
    # By the bank's own word an earlier cancel took effect: no refusal of another is believed.
    Event.REOPEN: {**_AGAIN, "doubted": True},
}


def move(event: Event, *, only_from: frozenset[State] | None = None) -> Update:
    """
    Return the guarded UPDATE of an event; `only_from` narrows its sources.

    Its caller says which jobs, by their key. The guard is written so that no index serves it:
    PostgreSQL would take one for cheap, and read what every job in flight has left in it
    (docs/explanation/performance.md).
    """
    arrow = TRANSITIONS[event]
    sources = arrow.sources if only_from is None else arrow.sources & only_from
    return (
        update(cancel_jobs)
        .where(func.coalesce(JOBS.state, "").in_(sorted(sources)))
        .values(state=str(arrow.target), updated_at=Now(), **_WRITTEN.get(event, {}))
    )


def waiting() -> ColumnElement[bool]:
    """Return the condition under which a job waits for its turn, as in the indexes."""
    return JOBS.next_attempt_at.is_not(None)


def has_expired() -> ColumnElement[bool]:
    """
    Return the condition, never NULL, under which a job's token can be paid no more.

    `domain.limits.valid_expiry` says in Python which expiry counts, and
    `tests/integration/test_sql_and_python_agree.py` compares the two.
    """
    was_right = or_(JOBS.still_payable_at.is_(None), JOBS.still_payable_at < JOBS.expires_at)
    given = and_(JOBS.expires_at.is_not(None), Exists(JOBS.expires_at))
    return and_(given, JOBS.expires_at <= Now(), was_right)


def last_word() -> ColumnElement[str]:
    """
    Return the outcome of a job that ends undecided: doubt outlives every deadline.

    `domain.limits.last_word` says the same in Python, and
    `tests/integration/test_sql_and_python_agree.py` compares the two.
    """
    return case(
        (JOBS.doubted, str(Outcome.UNKNOWN)),
        (has_expired(), str(Outcome.LAPSED)),
        else_=literal(str(Outcome.GAVE_UP), String()),
    )


def can_inquire() -> ColumnElement[bool]:
    """Return the condition under which the bank can be asked about a job's token."""
    return InList(JOBS.partner_id, "inquirers")


def past_its_limits() -> ColumnElement[bool]:
    """
    Return the condition, never NULL, under which a waiting job may hold no conversation.

    Past its expiry inquiries are still allowed. Age and attempts are judged after a
    conversation, so a job never ends because it waited while its partner was paused.
    """
    return and_(has_expired(), case((can_inquire(), false()), else_=true()))
