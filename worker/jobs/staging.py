"""
A manifest on disk, by uid: as long as it likes, while the memory stays as it is.

A file of its own, without a name, that is gone with the process: no table of the database's is
made, locked or filled.
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
_MADE = """
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
    """The entries of one manifest, each uid once."""

    def __init__(self) -> None:
        # An empty name is a file that SQLite deletes as soon as it is open, in its folder for
        # temporary files. Nothing in it has to outlive this process, not even a crash of it.
        self._file = sqlite3.connect("", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-64000"):
            self._file.execute(f"PRAGMA {pragma}")
        self._file.execute(_MADE)
        self._file.execute("BEGIN")

    def add(self, entry: ManifestEntry) -> ManifestEntry | None:
        """Keep an entry; where its uid is there already, return the one that stands."""
        row = _row(entry)
        if self._file.execute(_ADD, row).rowcount == 1:
            return None
        return _entry(self._file.execute(_LOOK, row[:1]).fetchone())

    def chunks(
        self, *, only_missing: bool = False, size: int = CHUNK
    ) -> Iterator[list[ManifestEntry]]:
        """Yield the entries by uid, some at a time."""
        after = ""
        while rows := self._file.execute(_CHUNK, (after, int(only_missing), size)).fetchall():
            yield list(map(_entry, rows))
            after = rows[-1][0]

    def mark_missing(self, uids: Iterable[str]) -> None:
        """Note that nobody here knows these uids."""
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
    """Lend a place on disk; whatever happens, nothing is left of it."""
    made = Staging()
    try:
        yield made
    finally:
        made.close()


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
