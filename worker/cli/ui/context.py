"""What commands work with: the settings, the database, and a store."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from worker.config.settings import Settings, load_settings
from worker.config.sqlite_file import missing_file
from worker.errors import KplusError, SettingsError, StoreUnavailable
from worker.private import private_folder
from worker.store import Database, Store, open_database


def settings_now(**overrides: Any) -> Settings:
    """Return the settings; an option that was not given (None) overrides nothing."""
    return load_settings(**{name: value for name, value in overrides.items() if value is not None})


@contextmanager
def database_of(settings: Settings) -> Iterator[Database]:
    """
    Open the database with two connections: one for statements, one for a lock.

    Raises `StoreUnavailable` if its folder cannot be made, `SettingsError` if its driver is
    not installed.
    """
    try:
        if settings.database_url is None:
            private_folder(settings.home)
        database = open_database(settings.database, connections=2, schema=settings.database_schema)
    except OSError as error:
        raise StoreUnavailable(f"the database's folder cannot be made: {error}") from error
    except ImportError as error:
        raise SettingsError(
            f"KPLUS_DATABASE_URL: its driver cannot be loaded ({error}): "
            "use postgresql+psycopg:// or sqlite:///"
        ) from None
    try:
        yield database
    finally:
        database.close()


@contextmanager
def store_of(settings: Settings) -> Iterator[Store]:
    """
    Open the store of a database that exists.

    Raises `StoreUnavailable` if it does not: connecting to SQLite would create an empty file
    in the working folder, and then find no job in it.
    """
    refuse_missing_file(settings)
    with database_of(settings) as database:
        yield Store(database, destinations=settings.destinations)


def refuse_missing_file(settings: Settings) -> None:
    """Raise `StoreUnavailable` if the SQLite file does not exist."""
    path = missing_file(settings.database)
    if path is None:
        return
    elsewhere = "go to the folder of the worker, or set KPLUS_HOME or KPLUS_DATABASE_URL"
    remedy = f"{elsewhere}; or make one: " if settings.database_url is None else ""
    raise StoreUnavailable(f"there is no database {path}: {remedy}`kplus-cancel db upgrade`")


def ready_schema(settings: Settings) -> None:
    """
    Make sure that the schema is up to date. Raises `StoreUnavailable` if it is not.

    The embedded database is upgraded; a configured one is not, since its owner may want a
    backup first.
    """
    # Alembic is slow to load, and so is structlog; commands that only read need neither.
    from worker.store.schema import migrate  # noqa: PLC0415 - see above
    from worker.telemetry.log import get_logger  # noqa: PLC0415 - see above

    log = get_logger(__name__)
    with database_of(settings) as database:
        if settings.database_url is None:
            for revision in migrate.upgrade(database, home=settings.home):
                log.warning("schema_upgraded", revision=revision, home=str(settings.home))
            return
        found = migrate.examine(database)
    if not found.up_to_date:
        raise StoreUnavailable(f"{found.missing()}: {found.remedy}")


def ready_to_enqueue(settings: Settings) -> None:
    """Create the embedded database if there is none; the worker keeps it up to date."""
    with database_of(settings) as database:
        if settings.database_url is not None:
            return
        try:
            with database.reading() as connection:
                connection.exec_driver_sql("SELECT 1 FROM cancel_jobs LIMIT 0")
        except StoreUnavailable:
            ready_schema(settings)


def hint_at(settings: Settings, uids: Collection[str]) -> None:
    """
    Send hints at stored jobs; never fail, and never wait for more than `BUDGET`.

    Without a broker the sweep of any worker finds the jobs.
    """
    # Celery is slow to load; commands that only read need none.
    from worker.broker.hints import Hints  # noqa: PLC0415 - see above
    from worker.enqueue import BROKER_TIMEOUT, BUDGET  # noqa: PLC0415 - see above
    from worker.runtime import broker_url, create_celery  # noqa: PLC0415 - see above
    from worker.telemetry.log import configure_logging  # noqa: PLC0415 - see above

    configure_logging(level="ERROR")
    with suppress(KplusError):
        url = broker_url(settings)
        if url is not None and uids:
            hints = Hints(create_celery(settings, url=url, timeout=BROKER_TIMEOUT))
            hints.send_within(uids, BUDGET)
