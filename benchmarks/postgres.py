"""What PostgreSQL itself spends: processor time, write-ahead log, index entries, dead rows."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection, Engine, NullPool, create_engine, text

from benchmarks.processes import tree_seconds

# A page that is written for the first time after a checkpoint is logged whole. That depends on the
# checkpoints, not on the jobs.
_WAL = """
SELECT sum(record_size) AS bytes,
    sum(count) FILTER (WHERE name ~ '^Btree/INSERT') AS entries
FROM (
    SELECT "resource_manager/record_type" AS name, count, record_size
    FROM pg_get_wal_stats(CAST(:since AS pg_lsn), pg_current_wal_flush_lsn(), true)
    WHERE count > 0
) AS kinds
"""
_ROWS = """
SELECT sum(n_tup_hot_upd) AS hot, sum(n_tup_upd + n_tup_del) AS dead
FROM pg_stat_user_tables
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent between two moments: seconds, bytes, and counts."""

    cpu: float
    wal: float
    entries: float
    dead: float
    hot: float


class Meter:
    """Measures one database, on a server where nobody else does anything meanwhile."""

    def __init__(self, url: str, *, postmaster: int) -> None:
        self._engine: Engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with self._engine.connect() as connection:
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_walinspect"))
        self._server = postmaster

    def begin(self) -> Self:
        """Measure from now on."""
        with self._engine.connect() as connection:
            self._rows = self._counted(connection)
            self._since = connection.execute(text("SELECT pg_current_wal_flush_lsn()")).scalar_one()
        self._cpu = tree_seconds(self._server)
        return self

    def spent(self) -> Spent:
        """Return what was spent since `begin`."""
        cpu = tree_seconds(self._server) - self._cpu
        with self._engine.connect() as connection:
            wal = connection.execute(text(_WAL), {"since": self._since}).one()
            dead, hot = self._counted(connection)
        return Spent(
            cpu=cpu,
            wal=float(wal.bytes),
            entries=float(wal.entries),
            dead=dead - self._rows[0],
            hot=hot - self._rows[1],
        )

    def _counted(self, connection: Connection) -> tuple[float, float]:
        row = connection.execute(text(_ROWS)).one()
        return float(row.dead or 0), float(row.hot or 0)
