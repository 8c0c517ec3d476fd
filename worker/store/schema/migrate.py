"""The schema of a database: which migrations it has, and how to run the others."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

from worker.errors import StoreUnavailable
from worker.private import private_file, private_folder
from worker.store.engine.database import Database
from worker.store.engine.errors import is_locked
from worker.store.schema import guard, versions
from worker.store.schema.namespace import namespace_of, use_names_of
from worker.store.schema.preparation import Obstacle, obstacle, steps_to
from worker.store.schema.tables import metadata
from worker.telemetry.about import UPGRADING

PACKAGE = Path(__file__).parents[2]
LATEST = "head"
LOCK_FILE = "schema.lock"
ADVISORY_LOCK = 0x6B706C7573  # "kplus" in hexadecimal: any number that is ours
_HOLDERS = text(
    "SELECT format('process %s of the role %s', pid, usename) FROM pg_locks"  # noqa: S608 - ours
    " JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    f" AND (classid::bigint << 32) + objid::bigint = {ADVISORY_LOCK} AND objsubid = 1"
)
LOCK_TIMEOUT = "60s"
"""How long one upgrade waits for another on PostgreSQL, as its `lock_timeout`."""


@dataclass(frozen=True, slots=True)
class Schema:
    """
    A database's schema, compared with the one that this program needs.

    `current` is None if there is none. `pending` are the revisions still to run, the oldest
    first. `foreign` says that the revision is unknown here: a newer release made it. `faults` say
    what an upgrade puts back although no migration is missing. `obstacle` is in the way of
    the next one.
    """

    current: str | None
    latest: str
    pending: tuple[str, ...]
    missing_tables: tuple[str, ...]
    foreign: bool
    faults: tuple[str, ...] = ()
    namespace: str | None = None
    obstacle: Obstacle | None = None

    @property
    def up_to_date(self) -> bool:
        """Whether this program can use the database; it can use a newer schema too."""
        return not (self.pending or self.missing_tables or self.faults)

    def missing(self) -> str:
        """Return what is missing, in a sentence."""
        if self.obstacle is not None:
            return self.obstacle.fault
        if self.pending and self.current is None:
            return "the database has no schema yet"
        parts = [f"migration {revision}" for revision in self.pending]
        parts += [f"table {name}" for name in self.missing_tables]
        parts += self.faults
        return f"the database's schema is not up to date, it lacks {', '.join(parts)}"

    @property
    def remedy(self) -> str:
        """What brings it up to date."""
        return self.obstacle.remedy if self.obstacle else "run `kplus-cancel db upgrade`"


def examine(database: Database) -> Schema:
    """Compare a database with the migrations, changing nothing. Raise `StoreUnavailable`."""
    with _translated(), database.reading() as connection:
        return _examine(connection)


def empty() -> Schema:
    """Return the schema of a database without tables."""
    script = ScriptDirectory.from_config(_config())
    known = _known(script)
    return Schema(
        None, known[-1], tuple(map(_titled, known)), tuple(sorted(metadata.tables)), foreign=False
    )


def revisions() -> list[str]:
    """Return every revision this program knows, oldest first."""
    return _known(ScriptDirectory.from_config(_config()))


def upgrade(
    database: Database, *, home: Path, to: str = LATEST, lock_timeout: str = LOCK_TIMEOUT
) -> list[str]:
    """
    Run the missing migrations, one process at a time; return those that were run.

    A schema of a newer release stays unchanged. A migration runs as a whole or not at all, and
    waits for locks only briefly, since all later transactions wait behind it. Where no migration
    is left, what is wrong with the guard of pruned uids is mended too. Raise `StoreUnavailable`.
    """
    with (
        _translated(),
        _explained_lock_timeout(),
        _locked(database, home, lock_timeout),
        database.connection() as connection,
    ):
        if _examine(connection).foreign:
            return []
        before = _done(connection)
        config = _config()
        config.attributes["connection"] = connection
        connection.rollback()
        command.upgrade(config, to)
        after = _done(connection)
        mended = _mend(connection)
    return [*(_titled(revision) for revision in after if revision not in before), *mended]


def _mend(connection: Connection) -> list[str]:
    """Put back what is not as this release makes it, if the schema is otherwise its own."""
    found = _examine(connection)
    if not found.faults or found.missing_tables:
        return []
    connection.rollback()
    use_names_of(connection, found.namespace)
    guard.restore(connection)
    connection.commit()
    return list(found.faults)


def _examine(connection: Connection) -> Schema:
    script = ScriptDirectory.from_config(_config())
    namespace = namespace_of(connection)
    current = versions.current(connection, namespace)
    known, pending = _known(script), steps_to(script, current)
    present = set(inspect(connection).get_table_names(schema=namespace))
    return Schema(
        current=current,
        latest=known[-1],
        pending=tuple(_titled(step.revision) for step in pending),
        missing_tables=tuple(sorted(set(metadata.tables) - present)),
        foreign=current is not None and current not in known,
        # Of another revision's guard nothing is known here.
        faults=tuple(guard.faults(connection, namespace)) if current == known[-1] else (),
        namespace=namespace,
        obstacle=obstacle(connection, namespace, pending),
    )


def _done(connection: Connection) -> list[str]:
    """Return the revisions a database has, oldest first."""
    known = revisions()
    current = versions.current(connection, namespace_of(connection))
    return known[: known.index(current) + 1] if current in known else []


def _known(script: ScriptDirectory) -> list[str]:
    """Return every revision this program knows, oldest first."""
    return [step.revision for step in script.walk_revisions()][::-1]


def _titled(revision: str) -> str:
    """Return a revision as its file is named: `0001 create the tables`."""
    script = ScriptDirectory.from_config(_config()).get_revision(revision)
    return Path(script.path).stem.removeprefix(versions.PREFIX).replace("_", " ")


def _config() -> Config:
    """Return Alembic's configuration without its file: an installed wheel has none."""
    # `upgrade` returns what was done, so Alembic's own log lines are not needed.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _migrations() -> Path:
    """Return the migrations inside the installed package, or beside it in a checkout."""
    inside = PACKAGE / "migrations"
    return inside if inside.is_dir() else PACKAGE.parent / "migrations"


@contextmanager
def _locked(database: Database, home: Path, lock_timeout: str) -> Iterator[None]:
    """Let one process at a time change the schema: two would both create the tables."""
    if not database.is_sqlite:
        # The lock ends with the transaction, however that ends: one of a session would outlive an
        # upgrade behind a pooler. It reads nothing meanwhile, so it holds back no vacuum.
        waits = {"lock_timeout": lock_timeout, "idle_in_transaction_session_timeout": "0"}
        with database.connection(**waits) as connection:
            _take_lock(connection)
            yield
        return
    private_folder(home)
    with os.fdopen(private_file(home / LOCK_FILE), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _take_lock(connection: Connection) -> None:
    """
    Take the lock of upgrades. Raise `StoreUnavailable`, which names who holds it.

    Every role that may connect can hold it: there is no table yet on which it could be a row.
    """
    try:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
    except OperationalError as error:
        connection.rollback()
        held = " and ".join(connection.execute(_HOLDERS).scalars())
        if not held:
            raise
        raise StoreUnavailable(
            f"the schema is in use: {held} holds the lock of upgrades; wait for it, or end it"
            " (`SELECT pg_terminate_backend(PID)`), and run `kplus-cancel db upgrade` again"
            f" ({UPGRADING})"
        ) from error.orig


@contextmanager
def _explained_lock_timeout() -> Iterator[None]:
    """Raise an error that says what to do if another process held the schema for too long."""
    try:
        yield
    except StoreUnavailable as error:
        if not is_locked(error):
            raise
        raise StoreUnavailable(
            "the schema is in use: a long transaction, or another upgrade, holds it; the migration"
            " that met it changed nothing: run `kplus-cancel db upgrade` again, and if it fails"
            f" again end what holds it ({UPGRADING})"
        ) from error


@contextmanager
def _translated() -> Iterator[None]:
    """Raise the errors of Alembic and of the file system as `StoreUnavailable`."""
    try:
        yield
    except (CommandError, OSError) as error:
        raise StoreUnavailable(f"the schema cannot be used: {error}") from error
