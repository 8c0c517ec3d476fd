"""What an error of the database means: it is unavailable, lacks our tables, or we have a bug."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import (
    ArgumentError,
    CompileError,
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    SQLAlchemyError,
    StatementError,
)

from worker.errors import StoreUnavailable

_LOCKED_SQLSTATE = "55P03"
_LOCKED_MESSAGE = "database is locked"
_MISSING_SQLSTATES = frozenset({"42P01", "42703"})
_MISSING_MESSAGES = ("no such table", "no such column", "has no column")


@contextmanager
def translated() -> Iterator[None]:
    """
    Raise the database's errors as `StoreUnavailable`, and our own bugs unchanged.

    A violated CHECK or a wrong argument does not go away by waiting. No text holds a value.
    """
    try:
        yield
    except SQLAlchemyError as error:
        if not _is_our_bug(error):
            raise StoreUnavailable(_message(error)) from error
        if isinstance(error, DBAPIError):
            _remove_values(error)
        raise


def is_locked(error: StoreUnavailable) -> bool:
    """Say whether another transaction held a lock for too long."""
    cause = error.__cause__
    original = cause.orig if isinstance(cause, DBAPIError) else None
    locked = getattr(original, "sqlstate", None) == _LOCKED_SQLSTATE
    return locked or (original is not None and _LOCKED_MESSAGE in str(original))


def _is_our_bug(error: SQLAlchemyError) -> bool:
    if isinstance(error, DBAPIError):
        return isinstance(error, IntegrityError | DataError)
    return isinstance(error, StatementError | CompileError | ArgumentError)


def _remove_values(error: DBAPIError) -> None:
    """Keep the first line only: below it PostgreSQL quotes the row."""
    for each in (error, error.orig):
        if each is not None:
            each.args = (_first_line(each),)


def _message(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    text = _first_line(cause)
    if isinstance(error, DatabaseError) and _lacks_our_tables(cause, text):
        return f"the database lacks our tables ({text}): run `kplus-cancel db upgrade`"
    return f"the database cannot be used: {text}"


def _lacks_our_tables(cause: BaseException, text: str) -> bool:
    state = getattr(cause, "sqlstate", None)
    return state in _MISSING_SQLSTATES or any(message in text for message in _MISSING_MESSAGES)


def _first_line(error: BaseException) -> str:
    text = str(error.args[0]) if error.args else ""
    return text.strip().partition("\n")[0] or type(error).__name__
