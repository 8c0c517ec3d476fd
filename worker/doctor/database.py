"""The database: reachable, fit, up to date, with a clock like ours; and whether work goes on."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from worker.config.settings import Settings
from worker.config.sqlite_file import missing_file
from worker.doctor.finding import Finding, Weight, wrong
from worker.doctor.outbox import outcomes
from worker.domain.partners import PartnerMode
from worker.errors import StoreUnavailable
from worker.store import Database, Store, open_database
from worker.store.schema import migrate

OLDEST_SQLITE = (3, 35)
OLDEST_POSTGRESQL = (14,)
SKEW = timedelta(seconds=2)
SLOW = timedelta(minutes=1)
"""A due job that waits longer means that no worker keeps up."""
MOST = 1000


def storage(settings: Settings) -> Iterator[Finding]:
    """Yield what is known of the database; where it cannot be used, why, and no more."""
    missing = missing_file(settings.database)
    if missing is not None:
        yield wrong(
            "database",
            f"there is no {missing} yet",
            "run `kplus-cancel db upgrade`, or go to the folder of the worker",
            weight=Weight.UNREACHABLE,
        )
        return
    try:
        database = open_database(settings.database, connections=1)
    except (OSError, ImportError) as error:
        yield _unreachable(str(error))
        return
    try:
        yield from _looked_at(database, settings)
    except StoreUnavailable as error:
        yield _unreachable(str(error))
    finally:
        database.close()


def _looked_at(database: Database, settings: Settings) -> Iterator[Finding]:
    yield _sqlite(database) if database.is_sqlite else _postgresql(database)
    found = migrate.examine(database)
    if not found.up_to_date:
        yield wrong("schema", found.missing(), "run `kplus-cancel db upgrade`")
        return
    newer = f", newer than this program's {found.latest}" if found.foreign else ""
    yield Finding("schema", f"up to date ({found.current}{newer})")
    yield _clock(database)
    store = Store(database)
    yield from _progress(store)
    yield from outcomes(settings, store)


def _sqlite(database: Database) -> Finding:
    with database.reading() as connection:
        version = str(connection.exec_driver_sql("SELECT sqlite_version()").scalar())
        journal = str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())
    told = f"SQLite {version}, journal {journal.upper()}, {_address(database)}"
    if _numbers(version) < OLDEST_SQLITE:
        return wrong("database", f"{told}: too old", "use a Python with SQLite 3.35 or later")
    if journal != "wal":
        remedy = "put the file on a local disk: network folders cannot hold a WAL"
        return wrong("database", f"{told}: WAL is not possible here", remedy)
    return Finding("database", f"{told}; for one machine only")


def _postgresql(database: Database) -> Finding:
    with database.reading() as connection:
        version = str(connection.exec_driver_sql("SHOW server_version").scalar()).split()[0]
        replica = bool(connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar())
    told = f"PostgreSQL {version}, {_address(database)}"
    if _numbers(version) < OLDEST_POSTGRESQL:
        return wrong("database", f"{told}: too old", "use PostgreSQL 14 or later")
    if replica:
        return wrong("database", f"{told}: a replica, which cannot be written", "use the primary")
    return Finding("database", told)


def _clock(database: Database) -> Finding:
    """Compare the database's clock, which decides about leases, with this machine's."""
    if database.is_sqlite:
        return Finding("clock", "SQLite goes by the clock of this machine")
    before = datetime.now(UTC)
    with database.reading() as connection:
        theirs = connection.exec_driver_sql("SELECT clock_timestamp()").scalar()
    after = datetime.now(UTC)
    if not isinstance(theirs, datetime):
        return wrong("clock", f"the database tells no time: {theirs!r}", "report it")
    # Theirs was read somewhere in between; only what that cannot explain is a difference.
    apart = max(before - theirs, theirs - after, timedelta(0))
    told = f"{apart.total_seconds():.1f} s apart from the database's"
    if apart > SKEW:
        remedy = "set the clocks (NTP): the bank may refuse a requestDt that is far off"
        return wrong("clock", told, remedy)
    return Finding("clock", told)


def _progress(store: Store) -> Iterator[Finding]:
    resting = [row for row in store.partners.all() if row.mode != PartnerMode.ACTIVE]
    for row in resting:
        told = f"is {row.mode}: {row.reason}"
        if row.mode == PartnerMode.PAUSED:
            remedy = f"kplus-cancel partners resume {row.partner_id} --reason WHY"
        else:
            remedy = f"none: it is tried again at {row.resume_at:%H:%M:%S} UTC"
        yield wrong(f"calls of {row.partner_id}", told, remedy)
    yield _moving(store, resting=bool(resting))


def _moving(store: Store, *, resting: bool) -> Finding:
    counts, silent = store.reports.stats(), len(store.backlog.dead(most=MOST))
    oldest = counts.oldest_due or timedelta(0)
    told = f"{counts.due} due, the oldest for {oldest.total_seconds():.0f} s"
    told = told if counts.due else "no job is due"
    if silent:
        told = f"{told}; {silent} in flight past their lease"
    if oldest <= SLOW and not silent:
        return Finding("progress", told)
    remedy = "start a worker (`kplus-cancel worker`), or look into its log"
    if resting:
        remedy += "; jobs of resting partners wait as well"
    return wrong("progress", told, remedy)


def _unreachable(text: str) -> Finding:
    remedy = "check KPLUS_DATABASE_URL, and that the server runs and lets this machine in"
    return wrong("database", text, remedy, weight=Weight.UNREACHABLE)


def _address(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=True)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
