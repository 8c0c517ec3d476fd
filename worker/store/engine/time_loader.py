"""Reads the times of PostgreSQL, also those that Python cannot hold."""

from datetime import datetime

import psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.postgres import types
from psycopg.pq import Format

from worker.domain.bounds import EARLIEST, LATEST


class TimeLoader(Loader):
    """
    Returns `LATEST` for a time after the year 9999, and `EARLIEST` for one before the year 1.

    psycopg's own loader raises, and so one row with `infinity` would end every batch it is in.
    """

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        kind = psycopg.adapters.get_loader(types["timestamptz"].oid, Format.TEXT)
        self._load = kind(oid, context).load  # type: ignore[misc]

    def load(self, data: Buffer) -> datetime:
        """Return the time."""
        try:
            at: datetime = self._load(data)
        except psycopg.DataError:
            text = bytes(data)
            return EARLIEST if text.startswith(b"-") or text.endswith(b"BC") else LATEST
        return at
