"""What a fault of the database means: it is away, it lacks our tables, or we have a defect."""

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
_LOCKED_WORDS = "database is locked"
_MISSING_SQLSTATES = frozenset({"42P01", "42703"})
_MISSING_WORDS = ("no such table", "no such column", "has no column")


@contextmanager
def translated() -> Iterator[None]:
    """
    Raise the database's faults as `StoreUnavailable`; a defect of ours stays what it is.

    A broken CHECK or a wrong argument never passes by waiting. No text holds a value.
    """
    try:
        yield
    except SQLAlchemyError as error:
        if not _is_a_defect(error):
            raise StoreUnavailable(_plain(error)) from error
        if isinstance(error, DBAPIError):
            _without_values(error)
        raise


def is_locked(error: StoreUnavailable) -> bool:
    """Say whether somebody else held for too long what was wanted."""
    cause = error.__cause__
    told = cause.orig if isinstance(cause, DBAPIError) else None
    locked = getattr(told, "sqlstate", None) == _LOCKED_SQLSTATE
    return locked or (told is not None and _LOCKED_WORDS in str(told))


def _is_a_defect(error: SQLAlchemyError) -> bool:
    if isinstance(error, DBAPIError):
        return isinstance(error, IntegrityError | DataError)
    return isinstance(error, StatementError | CompileError | ArgumentError)


def _without_values(error: DBAPIError) -> None:
    """Keep the first line: below it PostgreSQL quotes the row."""
    for each in (error, error.orig):
        if each is not None:
            each.args = (_first_line(each),)


def _plain(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    text = _first_line(cause)
    if isinstance(error, DatabaseError) and _lacks_our_tables(cause, text):
        return f"the database lacks our tables ({text}): run `kplus-cancel db upgrade`"
    return f"the database cannot be used: {text}"


def _lacks_our_tables(cause: BaseException, text: str) -> bool:
    state = getattr(cause, "sqlstate", None)
    return state in _MISSING_SQLSTATES or any(word in text for word in _MISSING_WORDS)


def _first_line(error: BaseException) -> str:
    text = str(error.args[0]) if error.args else ""
    return text.strip().partition("\n")[0] or type(error).__name__
