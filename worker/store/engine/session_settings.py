"""
What each transaction on PostgreSQL begins with, whatever its role or database has as defaults.

Where the session is ours, it is set once, for all its transactions. A pooler lends its sessions to
others between two transactions: behind one it is set in each, and is gone with it.
"""

from collections.abc import Mapping
from datetime import timedelta

from worker.store.engine.timeouts import Timeouts

PLAIN_BEGIN = "BEGIN"
POOLED_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED NOT DEFERRABLE"
_NEWER = {
    # It would end the session that holds the lock of an upgrade, which is idle meanwhile.
    "idle_session_timeout": 140000,
    # It would end the session too; the others bound as much.
    "transaction_timeout": 170000,
}
"""Limits that are lifted, with the version that has each first, as the driver counts."""
_OF_A_SESSION = {
    # Each statement must see what others have committed: the guards of claim and settle
    # expect it. Under `serializable` a settlement fails because of a neighbour's.
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
}
"""What is said otherwise where a transaction begins by itself: by the words of `BEGIN`."""
_DURABLE = (
    "CASE current_setting('synchronous_commit') WHEN 'off'"
    " THEN set_config('synchronous_commit', 'on', {is_local}) END"
)
"""
A claim that a crash of the server undoes would be sent twice, and an order accepted would be lost.

Any setting but `off` stays: some wait for a standby as well.
"""


def settings_of(timeouts: Timeouts, *, server_version: int) -> dict[str, str]:
    """
    Return what is set: a role's or a database's own defaults do not count.

    As statements, since not every connection pooler passes start-up options on, and some refuse
    them. What the defaults may say is no matter of taste: with any of these changed a statement of
    ours fails, waits, or means something else. The encoding is not here: it is a start-up parameter
    that every pooler knows.
    """
    settings = {
        "lock_timeout": milliseconds(timeouts.lock),
        "statement_timeout": milliseconds(timeouts.statement),
        # A worker that stops in the middle of a transaction, or whose machine is gone, keeps its
        # locks until PostgreSQL notices: two hours by default. The partner's row may be one of
        # them, and every other worker waits for it (measured: all workers stood still).
        "idle_in_transaction_session_timeout": milliseconds(timeouts.idle_in_transaction),
        # The driver reads one form of times and of text, and our SQL is written for one of quotes.
        "timezone": "UTC",
        "datestyle": "ISO, MDY",
        "intervalstyle": "postgres",
        "standard_conforming_strings": "on",
        # With fewer digits a partner's pace is read as another one than was stored.
        "extra_float_digits": 1,
        # Compiling costs more than any of our statements takes.
        "jit": "off",
    }
    settings |= {name: 0 for name, since in _NEWER.items() if server_version >= since}
    return {name: str(value) for name, value in settings.items()}


def for_the_session(settings: Mapping[str, str], *, backend_pid: int) -> str:
    """
    Return the statements that set them for the session; the first returns a row if they did.

    Only in the server's process that the driver was told of. Behind a pooler it is another: a
    pooler has many sessions, and tells each client a number of its own.
    """
    # First and alone: the time that a role has by default may be too short for all of them.
    first = _listed({"statement_timeout": settings["statement_timeout"]}, is_local=False)
    listed = _set({**_OF_A_SESSION, **settings}, is_local=False)
    ours = f"WHERE pg_catalog.pg_backend_pid() = {backend_pid:d}"
    return f"SELECT {first} {ours}; SELECT {listed} {ours}"


def for_the_transaction(settings: Mapping[str, str]) -> str:
    """Return the statement that sets them for the transaction that has just begun."""
    return f"SELECT {_set(settings, is_local=True)}"


def only(settings: Mapping[str, str]) -> str:
    """Return the statement that sets these and nothing else, for the transaction."""
    return f"SELECT {_listed(settings, is_local=True)}"


def _set(settings: Mapping[str, str], *, is_local: bool) -> str:
    durable = _DURABLE.format(is_local=str(is_local).lower())
    return f"{_listed(settings, is_local=is_local)}, {durable}"


def _listed(settings: Mapping[str, str], *, is_local: bool) -> str:
    local = str(is_local).lower()
    return ", ".join(
        f"pg_catalog.set_config('{name}', '{value}', {local})" for name, value in settings.items()
    )


def milliseconds(duration: timedelta) -> int:
    """Return a duration as PostgreSQL and libpq take it."""
    return round(duration.total_seconds() * 1000)
