"""
Which migrations a database has had, read from its tables alone.

`alembic_version` may be another program's, with any revision in it: the tables say whose it is.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, inspect
from sqlalchemy.engine.reflection import Inspector

TABLE: Final = "cancel_jobs"
COLUMNS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "kplus_0001": (TABLE, "lease_kind"),
        "kplus_0002": ("partners", "credentials"),
        "kplus_0003": ("cancel_attempts", "short_code"),
        "kplus_0004": ("tombstones", "pruned_at"),
        "kplus_0005": ("audits", "wire_uid"),
        "kplus_0007": ("outbox", "event_id"),
        "kplus_0010": (TABLE, "same_token"),
        "kplus_0011": (TABLE, "hints"),
        "kplus_0012": (TABLE, "uncounted"),
        "kplus_0013": (TABLE, "seen_at"),
        "kplus_0014": ("rejected_counts", "not_kept"),
    }
)
"""A column that each migration adds, if others would hardly have it."""
INDEXES: Final = MappingProxyType({"kplus_0008": "ix_cancel_jobs_counted"})
CHECKS: Final = MappingProxyType({"kplus_0015": "ck_cancel_jobs_sound"})
"""What the others add to the table of jobs; on SQLite, where there are none, they do nothing."""
ALL: Final = tuple(sorted([*COLUMNS, *INDEXES, *CHECKS]))


def are_ours(connection: Connection, namespace: str | None) -> bool:
    """Say whether a table `cancel_jobs` is there, and is ours."""
    table, column = COLUMNS[ALL[0]]
    looked = inspect(connection)
    return column in _columns(looked, table, namespace)


def newest(connection: Connection, namespace: str | None) -> str:
    """Return the newest migration of which something is there. Our tables must be there."""
    looked = inspect(connection)
    columns = {
        table: _columns(looked, table, namespace)
        for table in {name for name, _ in COLUMNS.values()}
    }
    found = {revision for revision, (table, name) in COLUMNS.items() if name in columns[table]}
    indexes = {index["name"] for index in looked.get_indexes(TABLE, schema=namespace)}
    found |= {revision for revision, name in INDEXES.items() if name in indexes}
    if connection.dialect.name == "postgresql":
        checks = {check["name"] for check in looked.get_check_constraints(TABLE, schema=namespace)}
        found |= {revision for revision, name in CHECKS.items() if name in checks}
    return max(found)


def fits(revision: str, newest: str, *, is_sqlite: bool) -> bool:
    """Say whether a revision can be that of tables whose newest landmark is this one."""
    known = [each for each in ALL if not (is_sqlite and each in CHECKS)]
    passed = [each for each in known if each <= revision]
    return bool(passed) and passed[-1] == newest


def _columns(looked: Inspector, table: str, namespace: str | None) -> set[str]:
    if not looked.has_table(table, schema=namespace):
        return set()
    return {column["name"] for column in looked.get_columns(table, schema=namespace)}
