"""A database that sorts by the rules of a language: nothing is passed over, and nothing doubled."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.integration.stock import CANCELLED, NOON, SECOND, UNHEARD, Clock, order, roster
from tests.integration.test_exports import exported, uids
from worker.domain.destinations import Destination
from worker.domain.events import OutboxState
from worker.store import JobFilter, Store, open_database
from worker.store.reports.exports import HORIZON, Cursor, page_statement

# Languages pass over punctuation, and sort small letters before capital ones; bytes do neither.
NAMES = ["B", "a-2", "A1", "_b", "a1", "A-1", "b", "a_1", "AA", "a.1", "Z", "a~"]
IN_ORDER = sorted(NAMES)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(linguistic_database: str, clock: Clock) -> Iterator[Store]:
    store = Store(open_database(linguistic_database, clock=clock), destinations=[*Destination])
    yield store
    store.close()


def accepted(store: Store, *names: str) -> None:
    for name in names:
        store.jobs.accept(order(name, partner_id=f"P{name}"), hinted=False)


def ended(store: Store, *names: str) -> None:
    accepted(store, *names)
    for name in names:
        claim = store.jobs.claim(name, lease=timedelta(seconds=60), roster=roster())
        assert claim is not None
        store.jobs.settle(claim, CANCELLED, UNHEARD)


def test_the_database_sorts_otherwise_than_bytes(store: Store) -> None:
    with store.database.reading() as connection:
        sql = "SELECT value FROM unnest(ARRAY['B', 'a', '_b', 'a-2', 'A1']) AS value ORDER BY value"
        found = list(connection.exec_driver_sql(sql).scalars())
    assert found != sorted(found)


@pytest.mark.parametrize("page", [1, 2, 5, 100])
def test_an_export_passes_over_no_job_that_ended_at_one_moment(
    store: Store, clock: Clock, page: int
) -> None:
    ended(store, *NAMES)
    clock.forward(HORIZON)
    rows = exported(store, page=page)
    assert uids(rows) == IN_ORDER
    for place, row in enumerate(rows):
        again = exported(store, Cursor.read(row["cursor"]), page=page)
        assert uids(again) == IN_ORDER[place + 1 :]


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_pages_by_uid_hold_every_job_once(store: Store, clock: Clock, size: int) -> None:
    waiting = [f"{name}W" for name in NAMES]
    ended(store, *NAMES)
    accepted(store, *waiting)
    span = {"since": NOON - SECOND, "until": clock.now + SECOND}

    def read() -> Iterator[tuple[list[str], list[str]]]:
        everything = JobFilter()
        yield (
            NAMES,
            [
                row["partner_txn_uid"]
                for rows in store.reports.finals(everything, batch=size)
                for row in rows
            ],
        )
        yield (
            waiting,
            [
                row["partner_txn_uid"]
                for rows in store.reports.unfinished(everything, batch=size)
                for row in rows
            ],
        )
        yield (
            [*NAMES, *waiting],
            [
                row.partner_txn_uid
                for rows in store.bulk.accepted(**span, page=size)
                for row in rows
            ],
        )
        yield (
            [*NAMES, *waiting],
            [each.uid for found in store.conversations.all(batch=size) for each in found],
        )

    for expected, found in read():
        assert sorted(found) == sorted(expected)


def test_lists_are_in_the_order_of_every_other_database(store: Store) -> None:
    ended(store, *NAMES)
    jobs = [row["partner_txn_uid"] for row in store.reports.jobs()]
    assert jobs == IN_ORDER[::-1]
    assert [row["partner_txn_uid"] for row in store.reports.jobs(most=3)] == IN_ORDER[:-4:-1]
    events = store.outbox.events(most=5)
    assert [row["partner_txn_uid"] for row in events] == [
        name for name in IN_ORDER for _ in Destination
    ][:5]
    for name in NAMES:
        store.actions.pause_partner(f"P{name}", who="test", reason="order")
    partners = [row.partner_id for row in store.partners.all()]
    assert partners == [f"P{name}" for name in IN_ORDER]


def test_every_dead_event_is_listed_once(store: Store) -> None:
    ended(store, *NAMES)
    with store.database.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE outbox SET state = 'dead', next_attempt_at = NULL,"
            " event_id = partner_txn_uid WHERE destination = 'webhook'"
        )
    found = [each for page in store.outbox.dead(page=2) for each in page]
    assert sorted(found) == IN_ORDER
    assert len(store.outbox.events(state=OutboxState.DEAD)) == len(NAMES)


def test_partners_that_wait_are_each_met_once(store: Store) -> None:
    """The sweep jumps from one to the next in an index; it goes on behind the last one."""
    for name in NAMES:
        for number in range(3):
            uid = f"{name}-{number}"
            store.jobs.accept(order(uid, partner_id=f"P{name}"), hinted=False)
    hinted: list[str] = []
    for _ in NAMES:
        hinted += store.backlog.hint(
            high_water=10**3, runs=10**3, again_after=timedelta(hours=1), roster=roster()
        )
    assert len(hinted) == len(set(hinted)) == 3 * len(NAMES)


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1]])
def test_one_of_two_equal_orders_is_a_duplicate(store: Store, names: list[str]) -> None:
    """Equal are those of the same bytes, whatever a language takes for the same word."""
    accepted(store, *names)
    statuses = store.bulk.accept([order(name, partner_id=f"P{name}") for name in NAMES])
    assert {str(each.status) for each in statuses.values()} == {"duplicate"}
    assert store.reports.stats().due == len(NAMES)


def test_a_page_of_an_export_is_read_from_an_index_in_its_order(store: Store) -> None:
    """What ended at one moment is sorted, and nothing else."""
    ended(store, *NAMES)
    statement = page_statement()
    assert statement is not None
    compiled = statement.compile(dialect=store.database.engine.dialect)
    given = {"at": NOON, "uid": "", "until": NOON, "most": 1000}
    with store.database.writing() as connection:
        # With few rows PostgreSQL would do otherwise.
        for name in ("seqscan", "bitmapscan", "sort"):
            connection.exec_driver_sql(f"SET LOCAL enable_{name} = off")
        sql = f"EXPLAIN {compiled}"
        rows = connection.exec_driver_sql(sql, compiled.construct_params(given))
        plan = "\n".join(rows.scalars())
    assert plan.count("using ix_cancel_jobs_listed") == 3, plan
    assert plan.count("Presorted Key: cancel_jobs") == 3, plan
