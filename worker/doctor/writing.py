"""The database: whether our role may do what a worker does, and whether there is room for it."""

import shutil
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qs, urlsplit

from worker.config.settings import Settings
from worker.config.sqlite_file import sqlite_file
from worker.doctor.finding import Finding, failed, one_line
from worker.errors import StoreUnavailable
from worker.runtime import SPARE_CONNECTIONS
from worker.store import Database
from worker.store.engine.schemas import schema_of
from worker.store.reports.connections import ConnectionLimit, connection_limit
from worker.store.schema.trial import Trial, try_as_a_worker
from worker.telemetry.about import SIZING

LEAST_ROOM: Final = 64 * 1024 * 1024
"""Bytes that must be free where an SQLite file is: its log alone grows to some megabytes."""
MOST_GRANTS: Final = 3
"""With more tables the file of the roles is the shorter remedy."""
ROLES: Final = "run deploy/postgresql/roles.sql, and let the worker log in as kplus_worker"
WRITABLE: Final = frozenset({"read-write", "primary"})
LIMITS: Final = {
    "server": "raise max_connections",
    "role": "ALTER ROLE … CONNECTION LIMIT",
    "database": "ALTER DATABASE … CONNECTION LIMIT",
}


def room(settings: Settings) -> Iterator[Finding]:
    """Yield the disks of this machine that are nearly full: of the file, of the embedded broker."""
    file = sqlite_file(settings.database)
    folders = [file.absolute().parent] if file is not None else []
    if settings.broker_url is None:
        folders.append(settings.home.absolute())
    for folder in sorted({folder for folder in folders if folder.exists()}):
        free = shutil.disk_usage(folder).free
        if free < LEAST_ROOM:
            text = f"{free // 1024**2} MiB are free in {folder}"
            yield failed("disk", text, "make room: a full disk stops every worker")


def writing(database: Database, settings: Settings) -> Iterator[Finding]:
    """Yield what keeps a worker from writing; nothing if all is well."""
    try:
        trial = try_as_a_worker(database)
    except StoreUnavailable as error:
        yield failed("writing", str(error), _remedy(str(error)))
    except Exception as error:  # noqa: BLE001 - a rule of theirs: whatever refuses a row
        yield failed("writing", one_line(error), _remedy(str(error)))
    else:
        if trial.missing:
            yield _without_rights(trial, schema_of(database.engine))
    yield from _connections(connection_limit(database), settings)
    yield from _servers(settings.database)


def _without_rights(trial: Trial, schema: str | None) -> Finding:
    home = f"{schema}." if schema else ""
    lacks = "; ".join(f"{', '.join(rights)} on {name}" for name, rights in trial.missing.items())
    remedy = ROLES
    if len(trial.missing) <= MOST_GRANTS:
        remedy = "; ".join(
            f"GRANT {', '.join(rights)} ON {home}{name} TO {trial.role}"
            for name, rights in trial.missing.items()
        )
    return failed("rights", f"the role {trial.role} lacks {lacks}", remedy)


def _remedy(text: str) -> str:
    if "No space left" in text or "full" in text:
        return "its disk is full: make room; no order is taken until then"
    if "read-only" in text or "readonly" in text:
        return "let it be written: the server, the file and its folder"
    return "see the server's log; a worker could store nothing"


def _connections(limit: ConnectionLimit | None, settings: Settings) -> Iterator[Finding]:
    """Look whether one worker process of these settings may open all its connections."""
    needed = settings.concurrency + SPARE_CONNECTIONS + 2
    if limit is not None and limit.connections < needed:
        text = f"the {limit.of} allows {limit.connections}, one worker process may open {needed}"
        remedy = f"{LIMITS[limit.of]}, or lower KPLUS_CONCURRENCY ({SIZING})"
        yield failed("connections", text, remedy)


def _servers(url: str) -> Iterator[Finding]:
    """Look at what a URL of several servers says about which one to choose."""
    given = parse_qs(urlsplit(url).query).get("target_session_attrs", [])
    if given and not WRITABLE.issuperset(given):
        text = f"target_session_attrs={given[-1]} may choose a standby, which cannot be written"
        yield failed("connections", text, "write target_session_attrs=read-write, or leave it out")
