"""
A manifest on disk, indexed by uid, so that its length does not matter to the memory.

It is a temporary file without a name, which is gone when the process ends. No table of the
database is made, locked or filled.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from worker.domain.orders import Order
from worker.domain.states import Outcome
from worker.jobs.manifest import ManifestEntry

CHUNK = 1000
_CREATE = """
CREATE TABLE entries (
    uid TEXT PRIMARY KEY,
    line INTEGER NOT NULL,
    partner_id TEXT NOT NULL,
    token_id TEXT NOT NULL,
    reference1 TEXT NOT NULL,
    expires_at TEXT,
    expected TEXT,
    missing INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID
"""
_ROW = "uid, line, partner_id, token_id, reference1, expires_at, expected"
_ADD = f"INSERT INTO entries ({_ROW}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608 - names of ours
_LOOK = f"SELECT {_ROW} FROM entries WHERE uid = ?"  # noqa: S608 - names of ours
_CHUNK = f"SELECT {_ROW} FROM entries WHERE uid > ? AND missing >= ? ORDER BY uid LIMIT ?"  # noqa: S608 - names of ours


class Staging:
    """The entries of one manifest, one for each uid."""

    def __init__(self) -> None:
        # With an empty name SQLite makes a temporary file and deletes it as soon as it is open.
        # Nothing in it is needed after the end or a crash of this process.
        self._file = sqlite3.connect("", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-64000"):
            self._file.execute(f"PRAGMA {pragma}")
        self._file.execute(_CREATE)
        self._file.execute("BEGIN")

    def add(self, entry: ManifestEntry) -> ManifestEntry | None:
        """Add an entry and return None. If its uid is taken, return the entry that has it."""
        row = _row(entry)
        if self._file.execute(_ADD, row).rowcount == 1:
            return None
        return _entry(self._file.execute(_LOOK, row[:1]).fetchone())

    def chunks(
        self, *, only_missing: bool = False, size: int = CHUNK
    ) -> Iterator[list[ManifestEntry]]:
        """Yield the entries in the order of their uids, `size` at a time."""
        after = ""
        while rows := self._file.execute(_CHUNK, (after, int(only_missing), size)).fetchall():
            yield list(map(_entry, rows))
            after = rows[-1][0]

    def mark_missing(self, uids: Iterable[str]) -> None:
        """Mark these uids as missing in the table."""
        self._file.executemany(
            "UPDATE entries SET missing = 1 WHERE uid = ?", ((uid,) for uid in uids)
        )

    def holds(self, uid: str) -> bool:
        """Say whether the manifest names this uid."""
        found = self._file.execute("SELECT 1 FROM entries WHERE uid = ?", (uid,)).fetchone()
        return found is not None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def staging() -> Iterator[Staging]:
    """Lend a temporary place on disk, and remove it in any case."""
    staged = Staging()
    try:
        yield staged
    finally:
        staged.close()


def _row(entry: ManifestEntry) -> tuple[Any, ...]:
    order = entry.order
    return (
        order.partner_txn_uid,
        entry.line,
        order.partner_id,
        order.token_id,
        order.reference1,
        order.expires_at.isoformat() if order.expires_at else None,
        entry.expected,
    )


def _entry(row: tuple[Any, ...]) -> ManifestEntry:
    uid, line, partner_id, token_id, reference1, expires_at, expected = row
    order = Order.model_construct(
        partner_txn_uid=uid,
        partner_id=partner_id,
        token_id=token_id,
        reference1=reference1,
        expires_at=datetime.fromisoformat(expires_at) if expires_at else None,
    )
    return ManifestEntry(line, order, Outcome(expected) if expected else None)
