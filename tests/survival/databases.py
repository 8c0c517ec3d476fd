"""Scenarios in which the database is away, refuses to commit, or is held by somebody else."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from sqlalchemy import NullPool, create_engine, make_url, text

from tests.servers.waiting import LIMIT
from tests.survival.arena import Arena
from tests.survival.load import Load
from tests.survival.outages import AWAY, each

# A commit that fails when it is told to: the trigger waits for the end of the transaction.
_TRAP = """
CREATE TABLE told_to_fail (word text NOT NULL);
CREATE FUNCTION fail_if_told() RETURNS trigger AS $$
DECLARE found_word text;
BEGIN
  SELECT word INTO found_word FROM told_to_fail LIMIT 1;
  IF FOUND THEN RAISE EXCEPTION 'told to fail' USING ERRCODE = found_word; END IF;
  RETURN NULL;
END $$ LANGUAGE plpgsql;
CREATE CONSTRAINT TRIGGER fail_if_told AFTER INSERT ON cancel_attempts
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail_if_told();
"""
_WORKERS = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'kplus-cancel'
"""
_A_WORKER = """
SELECT pid FROM pg_stat_activity
WHERE application_name = 'kplus-cancel' AND datname = current_database() AND pid <> pg_backend_pid()
LIMIT 1
"""

DISK_FULL = "53100"
SERIALIZATION = "40001"
DEADLOCK = "40P01"


def _ask(arena: Arena, statement: str, **parameters: str) -> list[int]:
    """Execute statements as the database's administrator; return the numbers that come back."""
    engine = create_engine(arena.database, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        result = connection.execute(text(statement), parameters)
        return [row[0] for row in result] if result.returns_rows else []


@contextmanager
def terminated(arena: Arena) -> Iterator[None]:
    """End every connection of the workers."""
    arena.fault("connections terminated")
    _ask(arena, _WORKERS)
    yield


@contextmanager
def crashed(arena: Arena) -> Iterator[None]:
    """
    Kill one of the server's processes, as the kernel does when memory runs out.

    PostgreSQL then ends all connections and recovers from its log.
    """
    arena.fault("PostgreSQL crash")
    (victim,) = _ask(arena, _A_WORKER)
    os.kill(victim, signal.SIGKILL)
    yield


@contextmanager
def restarted(arena: Arena) -> Iterator[None]:
    """Let the server be gone for the workers, as in a restart: refused, until it has recovered."""
    with crashed(arena):
        arena.lines("database", "down")
        try:
            yield
        finally:
            arena.lines("database", "up")


@contextmanager
def _failing_commits(arena: Arena, word: str, name: str) -> Iterator[None]:
    """Let no outcome be committed."""
    _ask(arena, "INSERT INTO told_to_fail VALUES (:word)", word=word)
    arena.fault(name)
    try:
        yield
    finally:
        _ask(arena, "DELETE FROM told_to_fail")


def commits_fail(arena: Arena, load: Load) -> None:
    """Let the commit of outcomes fail after the bank has answered, in each of three ways."""
    _ask(arena, _TRAP)
    arena.start("a", "b")
    ways = ((DISK_FULL, "disk full"), (SERIALIZATION, "not serializable"), (DEADLOCK, "deadlock"))
    for (word, name), portion in zip(ways, load.portions(len(ways)), strict=True):
        with load.delivering(portion), _failing_commits(arena, word, name):
            arena.pause(3)


def locked(arena: Arena, load: Load) -> None:
    """Let another process hold the SQLite file, for longer and longer."""
    arena.start("a", "b")
    path = str(make_url(arena.database).database)
    for seconds, portion in zip((1, 4, 9), load.portions(3), strict=True):
        with load.delivering(portion):
            arena.wait_for_a_call()
            arena.fault("SQLite locked")
            with closing(sqlite3.connect(path, timeout=LIMIT, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                arena.pause(seconds)
                other.execute("ROLLBACK")


def pooler_restarted(arena: Arena, load: Load) -> None:
    """Let the pooler end under load with all that goes through it, and come back."""
    assert arena.pooler is not None
    arena.start("a", "b")
    for portion in load.rounds(3):
        with load.delivering(portion):
            arena.wait_for_a_call()
            arena.fault("PgBouncer away")
            arena.pooler.stop()
            arena.pause(AWAY)
            arena.pooler.start()
    arena.wait_until_idle()


def promoted(arena: Arena, load: Load) -> None:
    """
    Let the primary be away and come back, then be away for good, and its standby be promoted.

    It commits nothing that the standby has not: what was accepted outlives it.
    """
    assert arena.pair is not None
    pair = arena.pair
    arena.start("a", "b")
    returns, *others = load.portions(2)
    with load.delivering(returns):
        arena.wait_for_a_call()
        arena.fault("primary away")
        pair.primary.stop()
        arena.pause(AWAY)
        pair.primary.start()
    arena.wait_until_idle()
    with load.delivering([each for portion in others for each in portion]):
        arena.wait_for_a_call()
        arena.fault("standby promoted")
        pair.primary.stop()
        pair.standby.promote()
    arena.wait_until_idle()


CRASHES = each([crashed] * 3, seconds=2)
RESTARTS = each([restarted] * 3, seconds=AWAY)
TERMINATIONS = each([terminated] * 6, seconds=0.5)
