"""The connection of a session that a producer passes; what cannot be one is told apart."""

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from worker.store.engine.database import Database

_ASYNC = "sqlalchemy.ext.asyncio"
_WANTED = "session must be a Session or a Connection of SQLAlchemy, in your transaction"


def connection_of(session: object, database: Database) -> Connection | None:
    """
    Return the connection of a session, on which its transaction goes on; None for None.

    Raise TypeError, with what to pass instead, if it has none that a row can join.
    """
    if session is None:
        return None
    if isinstance(session, scoped_session):
        session = session()
    connection = session.connection() if isinstance(session, Session) else session
    if not isinstance(connection, Connection):
        raise TypeError(_complaint(session))
    theirs, ours = connection.dialect.name, database.engine.dialect.name
    if theirs != ours:
        raise TypeError(
            f"session is on {theirs}, and KPLUS_DATABASE_URL on {ours}: a row joins your"
            " transaction only if our tables are in your database; without session it is stored"
            " in ours"
        )
    return connection


def _complaint(session: Any) -> str:
    kind = type(session)
    name = kind.__name__
    if kind.__module__.startswith(_ASYNC):
        return (
            f"session is an {name}: call from inside its run_sync, as in"
            " `await session.run_sync(lambda session: enqueue_cancel(..., session=session))`"
        )
    if hasattr(session, "connect") or hasattr(session, "begin"):
        return f"{_WANTED}, and this is the {name} that makes one"
    return f"{_WANTED}, and not a {kind.__module__}.{name}"
