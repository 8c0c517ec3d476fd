"""What comes before the first migration and after the last, so that an upgrade is whole or none."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection

from worker.errors import StoreUnsuitable
from worker.store.engine.schemas import schema_of
from worker.store.schema import landmarks, versions
from worker.store.schema.clashes import clashes
from worker.store.schema.namespace import make_namespace, namespace_found, use_names_of
from worker.telemetry.about import DATABASES


class Obstacle(NamedTuple):
    """What is in the way of our tables, and what to do, as sentences."""

    fault: str
    remedy: str


@contextmanager
def placed(
    connection: Connection,
    namespace: str | None,
    script: ScriptDirectory,
    destination: str | tuple[str, ...] | None,
) -> Iterator[None]:
    """
    Let migrations run where our tables are, whatever the session's `search_path` is.

    Without a destination nothing is run, and nothing is changed. Raise `StoreUnavailable`, with
    what to do, if the migrations up to it cannot be run to their end.
    """
    if isinstance(destination, str):
        with connection.begin():
            done = versions.current(connection, namespace)
            _prepare(connection, namespace, steps_to(script, done, destination))
    use_names_of(connection, namespace)
    if destination is not None:
        with connection.begin():
            versions.take_over(connection, namespace)
    yield
    if destination is not None:
        connection.commit()  # Alembic leaves a transaction open in which it has only read
        with connection.begin():
            versions.give_back(connection, namespace)


def steps_to(script: ScriptDirectory, current: str | None, to: str = "head") -> list[Script]:
    """Return the migrations that an upgrade from a revision would run, the oldest first."""
    steps = [*script.walk_revisions()][::-1]
    known = [step.revision for step in steps]
    is_unknown = current is not None and current not in known
    if is_unknown or to == "base" or to.startswith("-"):
        return []
    done = known.index(current) + 1 if current in known else 0
    return steps[done : known.index(to) + 1] if to in known else steps[done:]


def obstacle(
    connection: Connection, namespace: str | None, steps: Sequence[Script]
) -> Obstacle | None:
    """Return what keeps these migrations from being run, if anything that is there does."""
    elsewhere = _tables_elsewhere(connection, namespace) if steps else None
    if elsewhere is not None:
        return Obstacle(
            f"our tables are in the schema {elsewhere}, and KPLUS_DATABASE_SCHEMA is {namespace}",
            f"set KPLUS_DATABASE_SCHEMA={elsewhere}, or move them ({DATABASES})",
        )
    if found := clashes(connection, namespace, steps):
        where = "the file" if namespace is None else f"the schema {namespace}"
        return Obstacle(
            f"{where} holds what is not ours under names of ours: {', '.join(found)}",
            "set KPLUS_DATABASE_URL to a file of our own"
            if namespace is None
            else "give our tables a schema of their own (such as KPLUS_DATABASE_SCHEMA=kplus), and"
            " run `kplus-cancel db upgrade`",
        )
    return None


def _prepare(connection: Connection, namespace: str | None, steps: Sequence[Script]) -> None:
    """Make the schema if it is not there, and look whether these migrations can be run in it."""
    if not steps:
        return
    if found := obstacle(connection, namespace, steps):
        raise StoreUnsuitable(f"{found.fault}; nothing was changed", found.remedy)
    make_namespace(connection, namespace)


def _tables_elsewhere(connection: Connection, namespace: str | None) -> str | None:
    """Return the schema of our tables, if the setting names one that has none of them."""
    if schema_of(connection) is None or landmarks.are_ours(connection, namespace):
        return None
    found = namespace_found(connection)
    is_other = found is not None and found != namespace
    return found if is_other and landmarks.are_ours(connection, found) else None
