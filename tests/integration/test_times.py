"""Whose clock counts, and that every time is aware UTC."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    ANSWERED,
    CANCELLED,
    DOWN,
    LEASE,
    LOST,
    NOON,
    Clock,
    accept,
    claim,
    claimed,
    hint,
    partner,
    row,
    settle,
)
from worker.store import Database, RejectedMessage, Store
from worker.store.engine import database as room

only_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
BANGKOK = timezone(timedelta(hours=7))


def times(found: Any) -> Iterator[datetime]:
    """Find every time in what a report returned."""
    if isinstance(found, datetime):
        yield found
    elif isinstance(found, dict):
        yield from times(list(found.values()))
    elif isinstance(found, list | tuple):
        for part in found:
            yield from times(part)


@contextmanager
def a_process_whose_clock_is_wrong_by(
    by: timedelta, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Wrong":
            moment = datetime.now(tz) + by
            return cls.fromtimestamp(moment.timestamp(), tz)

    with monkeypatch.context() as patch:
        patch.setattr(room, "datetime", Wrong)
        yield


def test_every_time_comes_back_as_aware_utc(store: Store, clock: Clock) -> None:
    accept(store, "U1", expires_at=(NOON + LEASE).astimezone(BANGKOK))
    mine = claimed(store)
    settle(store, mine, LOST, ANSWERED)
    store.rejected_messages.keep(RejectedMessage("odd", "odd", "odd"))
    store.actions.pause_partner("P1", who="op", reason="odd")
    file = store.reports.file("U1")
    assert file is not None
    found = list(
        times(
            [
                [mine.started_at, mine.lease_ends_at, mine.created_at, mine.expires_at],
                [file.job, file.attempts, file.tokens],
                store.reports.jobs(),
                [each._asdict() for each in store.rejected_messages.latest(most=1)],
                partner(store),
            ]
        )
    )
    assert len(found) > 15
    assert {each.tzinfo for each in found} == {UTC}
    assert row(store)["expires_at"] == NOON + LEASE


def test_times_are_kept_to_the_microsecond(store: Store, clock: Clock) -> None:
    clock.now = NOON.replace(microsecond=123_457)
    accept(store, "U1", expires_at=clock.now + timedelta(seconds=9))
    assert row(store)["created_at"] == clock.now
    assert row(store)["expires_at"] == clock.now + timedelta(seconds=9)


@pytest.mark.parametrize("microsecond", [0, 1, 499, 500, 999_499, 999_500, 999_999])
def test_a_wait_of_nothing_is_over_at_once(store: Store, clock: Clock, microsecond: int) -> None:
    """SQLite reckons in milliseconds, and must not round a due time into the future."""
    clock.now = NOON.replace(microsecond=microsecond)
    accept(store, "U1")
    settle(store, claimed(store), replace(DOWN, wait=timedelta(0)))
    assert claim(store)


@pytest.mark.parametrize("microsecond", [0, 1, 499, 500, 999_499, 999_500, 999_999])
def test_a_lease_is_never_shorter_than_was_asked_for(
    store: Store, clock: Clock, microsecond: int
) -> None:
    clock.now = NOON.replace(microsecond=microsecond)
    accept(store, "U1")
    mine = claimed(store)
    assert timedelta(0) <= mine.lease_ends_at - clock.now - LEASE <= timedelta(milliseconds=1)


def test_a_row_written_without_fractions_of_a_second_compares_rightly(
    store: Store, clock: Clock
) -> None:
    """What SQLite's own clock writes is narrower than what we write."""
    with store.database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1,"
                " created_at, next_attempt_at, expires_at) VALUES ('U1', 'P1', 'T1', 'R1',"
                " '2026-03-01 12:00:00+00', '2026-03-01 12:00:01+00', '2026-03-01 12:00:03+00')"
                if not store.database.is_sqlite
                else "INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1,"
                " created_at, next_attempt_at, expires_at) VALUES ('U1', 'P1', 'T1', 'R1',"
                " '2026-03-01 12:00:00', '2026-03-01 12:00:01', '2026-03-01 12:00:03')"
            )
        )
    clock.now = NOON + timedelta(seconds=0.999999)
    assert hint(store) == []
    assert claim(store) is None
    clock.now = NOON + timedelta(seconds=1)
    assert hint(store) == ["U1"]
    clock.now = NOON + timedelta(seconds=3)
    assert claim(store) is None
    assert dict(store.backlog.exhaust(most=1, inquirers=[])) == {"U1": "lapsed"}


@only_postgresql
@pytest.mark.parametrize("by", [timedelta(hours=1), timedelta(hours=-1)])
def test_the_clock_of_the_database_decides(
    engine: Engine, by: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers' clocks may disagree by hours; their leases do not."""
    store = Store(Database(engine))
    began = datetime.now(UTC)
    with a_process_whose_clock_is_wrong_by(by, monkeypatch):
        accept(store, "U1", "U2")
        mine = claimed(store)
        assert hint(store) == ["U2"]
        assert store.backlog.dead(most=1) == []
        settle(store, mine, CANCELLED)
        job = row(store)
    now = datetime.now(UTC)
    for moment in (mine.started_at, job["created_at"], job["finished_at"]):
        assert began <= moment <= now
    assert mine.lease_ends_at - mine.started_at == LEASE


@only_postgresql
def test_the_time_zone_of_the_session_changes_nothing(
    open_store: OpenStore,
) -> None:
    store = open_store()

    @event.listens_for(store.database.engine, "connect")
    def _in_bangkok(connection: Any, _record: Any) -> None:
        connection.execute("SET timezone = 'Asia/Bangkok'")
        connection.commit()

    began = datetime.now(UTC)
    accept(store, "U1", expires_at=began + timedelta(hours=1))
    mine = claimed(store)
    assert mine.started_at.tzinfo is UTC
    assert began <= mine.started_at <= datetime.now(UTC)
    assert mine.lease_ends_at - mine.started_at == LEASE
