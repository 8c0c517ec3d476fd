"""A primary and its standby: while one takes the other's place, and when it comes back."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.stock import order
from tests.servers.databases import PATIENT
from tests.servers.postgres import PrivatePostgres
from tests.servers.standbys import Pair
from tests.servers.waiting import eventually
from worker.errors import StoreUnavailable
from worker.store import Status, Store, open_database

THREADS = 4


@contextmanager
def opened(url: str) -> Iterator[Store]:
    store = Store(open_database(url, connections=THREADS, timeouts=PATIENT))
    yield store
    store.close()


def refused(store: Store, prefix: str, *, of: int = 20) -> int:
    """Return how many of so many orders were refused, one by one and as batches in turns."""
    count = 0
    for number in range(of):
        uid = f"{prefix}{number}"
        try:
            if number % 2:
                store.jobs.accept(order(uid), hinted=False)
            else:
                store.bulk.accept([order(uid)])
        except StoreUnavailable:
            count += 1
    return count


@pytest.mark.timeout(300)
@pytest.mark.parametrize("query", [{}, {"target_session_attrs": "any"}])
def test_when_the_primary_comes_back_everything_is_accepted_again(
    pair: Pair, query: dict[str, str]
) -> None:
    """Sessions at the standby stayed in the pool for ever, and refused every order."""
    with opened(pair.url(**query)) as store:
        assert refused(store, "A") == 0
        pair.primary.stop()
        assert refused(store, "B") == 20
        pair.primary.start()
        assert refused(store, "C") <= (1 if query else 0)
        assert store.jobs.accept(order("A1"), hinted=False).status is Status.DUPLICATE


@pytest.mark.timeout(300)
def test_a_standby_that_is_promoted_takes_the_next_order(pair: Pair) -> None:
    with opened(pair.url()) as store:
        assert refused(store, "A") == 0
        eventually(lambda: known_at(pair.standby, "A19"))
        pair.primary.stop()
        assert refused(store, "B", of=3) == 3
        pair.standby.promote()
        assert refused(store, "C") == 0
        assert store.jobs.accept(order("A1"), hinted=False).status is Status.DUPLICATE


def known_at(server: PrivatePostgres, uid: str) -> bool:
    url = server.url.set(database="kplus").render_as_string(hide_password=False)
    with opened(url) as store:
        return store.jobs.exists(uid)
