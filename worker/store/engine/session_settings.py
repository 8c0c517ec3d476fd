"""What each session on PostgreSQL begins with, whatever its role or database has as defaults."""

from datetime import timedelta

from worker.store.engine.timeouts import Timeouts

_NEWER = {
    # It would end the session that holds the lock of an upgrade, which is idle meanwhile.
    "idle_session_timeout": 140000,
    # It would end the session too; the others bound as much.
    "transaction_timeout": 170000,
}
"""Limits that are lifted, with the version that has each first, as the driver counts."""


def session_settings(timeouts: Timeouts, *, server_version: int) -> str:
    """
    Return what each session begins with: a role's or a database's own defaults do not count.

    As statements, since not every connection pooler passes start-up options on, and some refuse
    them; and as one text, since each costs a round trip. What the defaults may say is no matter of
    taste: with any of these changed a statement of ours fails, waits, or means something else.
    The encoding is not here: it is a start-up parameter that every pooler knows.
    """
    settings: dict[str, object] = {
        # Each statement must see what others have committed: the guards of claim and settle
        # expect it. Under `serializable` a settlement fails because of a neighbour's.
        "default_transaction_isolation": "'read committed'",
        "default_transaction_deferrable": "off",
        "lock_timeout": milliseconds(timeouts.lock),
        "statement_timeout": milliseconds(timeouts.statement),
        # A worker that stops in the middle of a transaction, or whose machine is gone, keeps its
        # locks until PostgreSQL notices: two hours by default. The partner's row may be one of
        # them, and every other worker waits for it (measured: all workers stood still).
        "idle_in_transaction_session_timeout": milliseconds(timeouts.idle_in_transaction),
        # The driver reads one form of times and of text, and our SQL is written for one of quotes.
        "timezone": "'UTC'",
        "datestyle": "'ISO, MDY'",
        "intervalstyle": "'postgres'",
        "standard_conforming_strings": "on",
        # With fewer digits a partner's pace is read as another one than was stored.
        "extra_float_digits": 1,
        # Compiling costs more than any of our statements takes.
        "jit": "off",
    }
    settings |= {name: 0 for name, since in _NEWER.items() if server_version >= since}
    given = "; ".join(f"SET {name} = {value}" for name, value in settings.items())
    return f"{given}; {_DURABLE}"


_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)
"""
A claim that a crash of the server undoes would be sent twice, and an order accepted would be lost.

Any setting but `off` stays: some wait for a standby as well.
"""


def milliseconds(duration: timedelta) -> int:
    """Return a duration as PostgreSQL and libpq take it."""
    return round(duration.total_seconds() * 1000)
