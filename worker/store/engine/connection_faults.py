"""
Which errors of PostgreSQL are faults of one connection, though the server may be well.

A new connection may do better: with a pool that knows nothing of them they last for ever. Errors
are told apart by their code, since PostgreSQL may write in any language.
"""

from sqlalchemy.exc import DBAPIError

READ_ONLY = "25006"
"""The session is at a standby, or at a primary that was told to be read-only."""
NOT_EXECUTED = frozenset({READ_ONLY, "26000", "42P05", "25P02"})
"""
The server has refused the statement before it did anything.

What the driver has prepared is not there, or is there already, or somebody else's transaction has
failed in this session: a pooler has lent it to others.
"""
ENDED = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05"})
"""The server ends, is starting, or has ended the session: also where a pooler says it."""
_LOST_CLASS = "08"
_STALE_PLAN, _PLANS = "0A000", "RevalidateCachedQuery"
"""The columns of a prepared statement have changed: the code, and where it is found."""
_RECOVERY, _RECOVERS = "55000", "recover"
"""A standby cannot do it: "recovery is in progress", "during recovery"."""


def is_fault_of_connection(error: BaseException | None) -> bool:
    """Say whether an error of the driver is no fault of the server, nor of the statement."""
    state = _state(error)
    return was_not_executed(error) or state in ENDED or state.startswith(_LOST_CLASS)


def was_not_executed(error: BaseException | None) -> bool:
    """Say whether it is such a fault, and another connection may execute the statement."""
    state = _state(error)
    if state == _STALE_PLAN:
        diag = getattr(error, "diag", None)
        return getattr(diag, "source_function", None) == _PLANS
    if state == _RECOVERY:
        return _RECOVERS in str(error)
    return state in NOT_EXECUTED


def cause_of(error: BaseException) -> BaseException | None:
    """Return the driver's error behind one of ours."""
    cause = error.__cause__
    return cause.orig if isinstance(cause, DBAPIError) else None


def _state(error: BaseException | None) -> str:
    return getattr(error, "sqlstate", None) or ""
