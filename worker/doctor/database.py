"""The database: reachable, recent enough, up to date, its clock; and whether work goes on."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from worker.config.settings import Settings
from worker.config.sqlite_file import missing_file
from worker.doctor.finding import Finding, Severity, failed
from worker.doctor.outbox import outcomes
from worker.doctor.pooler import pooler
from worker.doctor.writing import writing
from worker.domain.partners import PartnerMode
from worker.errors import StoreUnavailable, StoreUnsuitable
from worker.explain import Row
from worker.explain.attention import (
    MOST,
    SLOW,
    count_of_same_token,
    longest_due,
    same_token,
    unseen_ends,
)
from worker.explain.partner import first_call_sentence, resting_partners
from worker.explain.pauses import remedy
from worker.store import UNCONFIGURED, Database, Store, open_database
from worker.store.schema import guard, migrate

OLDEST_SQLITE = (3, 35)
OLDEST_POSTGRESQL = (14,)
KNOWS_ITS_COLLATION = (15,)
_COLLATION = """
    SELECT quote_ident(datname), datcollversion, pg_database_collation_actual_version(oid)
    FROM pg_database WHERE datname = current_database()
"""
MAX_SKEW = timedelta(seconds=2)
START = "start a worker (`kplus-cancel worker`), or look into its log"


def storage(settings: Settings) -> Iterator[Finding]:
    """Yield the checks of the database; if it cannot be used, only why."""
    missing = missing_file(settings.database)
    if missing is not None:
        yield failed(
            "database",
            f"there is no {missing} yet",
            "run `kplus-cancel db upgrade`, or go to the folder of the worker",
            severity=Severity.UNREACHABLE,
        )
        return
    try:
        database = open_database(settings.database, connections=1, schema=settings.database_schema)
    except (OSError, ImportError) as error:
        yield _unreachable(str(error))
        return
    try:
        yield from _checks(database, settings)
    except StoreUnsuitable as error:
        yield failed("database", error.fault, error.remedy)
    except StoreUnavailable as error:
        yield _unreachable(str(error))
    finally:
        database.close()


def _checks(database: Database, settings: Settings) -> Iterator[Finding]:
    yield _sqlite(database) if database.is_sqlite else _postgresql(database)
    if not database.is_sqlite:
        yield from _sorting(database)
        yield from pooler(database, settings)
    found = migrate.examine(database)
    if not found.up_to_date:
        yield failed("schema", found.missing(), found.remedy)
        return
    newer = f", newer than this program's {found.latest}" if found.foreign else ""
    yield Finding("schema", f"up to date ({found.current}{newer})")
    for name in guard.open_schemas(database):
        text = "everybody may create functions in it, and one can run in a statement of ours"
        yield failed(f"schema {name}", text, _closing(name, settings.database_schema))
    yield from writing(database, settings)
    yield _clock(database)
    store = Store(database)
    yield from _progress(store)
    yield _tokens(store)
    yield from outcomes(settings, store)


def _closing(name: str, ours: str | None) -> str:
    """Return what keeps the functions of others out of our statements."""
    remedy = f"REVOKE CREATE ON SCHEMA {name} FROM PUBLIC"
    if ours is None or ours == name:
        return remedy
    return f"{remedy}; or let our roles not look there: ALTER ROLE … SET search_path = ''"


def _sqlite(database: Database) -> Finding:
    with database.reading() as connection:
        version = str(connection.exec_driver_sql("SELECT sqlite_version()").scalar())
        journal = str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())
    text = f"SQLite {version}, journal {journal.upper()}, {_address(database)}"
    if _numbers(version) < OLDEST_SQLITE:
        return failed("database", f"{text}: too old", "use a Python with SQLite 3.35 or later")
    if journal != "wal":
        remedy = "put the file on a local disk: network folders cannot hold a WAL"
        return failed("database", f"{text}: WAL is not possible here", remedy)
    return Finding("database", f"{text}; for one machine only")


def _postgresql(database: Database) -> Finding:
    with database.reading() as connection:
        version = str(connection.exec_driver_sql("SHOW server_version").scalar()).split()[0]
        replica = bool(connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar())
        read_only = str(connection.exec_driver_sql("SHOW transaction_read_only").scalar()) == "on"
    text = f"PostgreSQL {version}, {_address(database)}"
    if _numbers(version) < OLDEST_POSTGRESQL:
        return failed("database", f"{text}: too old", "use PostgreSQL 14 or later")
    if replica:
        return failed("database", f"{text}: a replica, which cannot be written", "use the primary")
    if read_only:
        remedy = "look for default_transaction_read_only: ALTER ROLE, ALTER DATABASE or the server"
        return failed("database", f"{text}: it lets nothing be written", remedy)
    return Finding("database", text)


def _sorting(database: Database) -> Iterator[Finding]:
    """Yield a finding if the server's libraries sort texts otherwise than the indexes."""
    with database.reading() as connection:
        if connection.dialect.server_version_info < KNOWS_ITS_COLLATION:  # type: ignore[operator]
            return
        name, then, now = connection.exec_driver_sql(_COLLATION).one()
    if then != now:
        text = (
            f"its indexes were sorted by version {then} of its collation, and the server has {now}:"
            " an index may miss a uid, which then becomes a job again"
        )
        again = f"REINDEX DATABASE {name}; ALTER DATABASE {name} REFRESH COLLATION VERSION"
        yield failed("collation", text, again)


def _clock(database: Database) -> Finding:
    """Compare the database's clock, which decides about leases, with this machine's."""
    if database.is_sqlite:
        return Finding("clock", "SQLite goes by the clock of this machine")
    before = datetime.now(UTC)
    with database.reading() as connection:
        theirs = connection.exec_driver_sql("SELECT clock_timestamp()").scalar()
    after = datetime.now(UTC)
    if not isinstance(theirs, datetime):
        return failed("clock", f"the database gives no time: {theirs!r}", "report it")
    # Theirs was read between `before` and `after`: only a time outside is a difference.
    apart = max(before - theirs, theirs - after, timedelta(0))
    text = f"{apart.total_seconds():.1f} s apart from the database's"
    if apart > MAX_SKEW:
        remedy = "set the clocks (NTP): the bank may refuse a requestDt that is far off"
        return failed("clock", text, remedy)
    return Finding("clock", text)


def _progress(store: Store) -> Iterator[Finding]:
    now = datetime.now(UTC)
    resting = list(resting_partners(store).values())
    waiting = store.waiting.longest_by_partner()
    for row in resting:
        # A partner that nobody can serve, and that has no jobs, harms nobody.
        idle = waiting.complete and row["partner_id"] not in waiting.by_partner
        if row["reason"] != UNCONFIGURED or not idle:
            yield _rest(row, now)
    calls = store.first_calls.under_way()
    for call in calls:
        yield Finding(f"calls of {call.partner_id}", first_call_sentence(call, now))
    longest = longest_due(store, resting, now)
    yield _due_jobs(store, longest, waiting=[call.partner_id for call in calls])
    for item in unseen_ends(store.unseen.read(), now):
        yield failed("ends", item.what, item.command)


def _rest(row: Row, now: datetime) -> Finding:
    text = f"is {row['mode']}: {row['reason']}"
    if row["mode"] == PartnerMode.PAUSED:
        what, command = remedy(row)
        then = f": {command}" if command else ""
        return failed(f"calls of {row['partner_id']}", text, f"{what}{then}")
    again = "its next call is a probe"
    if row["resume_at"] > now:
        again = f"it is tried again at {row['resume_at']:%H:%M:%S} UTC"
    return failed(f"calls of {row['partner_id']}", text, f"none: {again}")


def _due_jobs(store: Store, longest: timedelta, *, waiting: list[str]) -> Finding:
    counts, past_lease = store.reports.stats(), len(store.backlog.dead(most=MOST))
    oldest = counts.oldest_due or timedelta(0)
    text = f"{counts.due} due, the oldest for {oldest.total_seconds():.0f} s"
    text = text if counts.due else "no job is due"
    if past_lease:
        text = f"{text}; {past_lease} in flight past their lease"
    if longest <= SLOW < oldest:
        text = f"{text}; the partners of those that wait so long take no calls"
    if longest <= SLOW and not past_lease:
        return Finding("progress", text)
    if waiting and not past_lease:
        remedy = f"none: a worker runs, and {', '.join(waiting)} waits for the answer of one call"
        return failed("progress", text, remedy)
    return failed("progress", text, START)


def _tokens(store: Store) -> Finding:
    """Look for orders that name one token under two uids."""
    count = count_of_same_token(store, datetime.now(UTC))
    if not count:
        return Finding("tokens", "no recent job names a token of another job")
    found = same_token(count)
    return failed("tokens", found.what, f"compare the orders: {found.command}")


def _unreachable(text: str) -> Finding:
    remedy = "check KPLUS_DATABASE_URL, and that the server runs and lets this machine in"
    return failed("database", text, remedy, severity=Severity.UNREACHABLE)


def _address(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=True)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
