"""One statement as a transaction of its own: the same words as in the long way, all or nothing."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text

from tests.integration.attempting import only_postgresql
from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    BUSY,
    CANCELLED,
    LEASE,
    NOON,
    PAID,
    Clock,
    accept,
    answer,
    attempts,
    claimed,
    evidence,
    execute,
    only,
    order,
    partner,
    row,
    settle,
)
from worker.domain.decision import Decision
from worker.domain.kplus import TokenEntry
from worker.errors import StoreUnavailable
from worker.store import Status, Store, open_database
from worker.store.engine.prepared import Prepared

WORD = "CANCELLED"
TOKENS = {
    "no token": (),
    "ours": (TokenEntry("T", "R1", (WORD,)),),
    "others beside it": (
        TokenEntry("T", None, ("A", "B")),
        TokenEntry(None, "R2", None),
        TokenEntry("T%s", "%(uid)s", ()),
    ),
}


@pytest.fixture
def proven(store: Store) -> Store:
    """A store whose partner has just proved itself: no claim needs the gate."""
    accept(store, "FIRST")
    assert settle(store, claimed(store, "FIRST", inquirers=("P1",)), CANCELLED)
    return store


@pytest.mark.parametrize("tokens", TOKENS.values(), ids=list(TOKENS))
@pytest.mark.parametrize(
    "decision",
    [CANCELLED, PAID, replace(BUSY, proves_partner=True)],
    ids=["succeed", "refuse", "retry"],
)
def test_both_ways_write_the_same(
    proven: Store, clock: Clock, decision: Decision, tokens: tuple[TokenEntry, ...]
) -> None:
    heard = evidence(answer(*tokens, error_desc="it's 100 % \u20ac"))
    accept(proven, "LONG", "SHORT")
    long, short = (claimed(proven, uid, inquirers=("P1",)) for uid in ("LONG", "SHORT"))
    assert short.partner_is_healthy
    clock.forward(1)
    assert settle(proven, replace(long, partner_is_healthy=False), decision, heard)
    assert settle(proven, short, decision, heard)
    assert _written(proven, "SHORT") == _written(proven, "LONG")
    assert len(_tokens(proven, "SHORT")) == len(tokens)


def _written(store: Store, uid: str) -> tuple[Any, ...]:
    own = {"partner_txn_uid", "token_id", "lease_id", "wire_uid"}
    rows = [row(store, uid), *attempts(store, uid)]
    return [{k: v for k, v in each.items() if k not in own} for each in rows], _tokens(store, uid)


def _tokens(store: Store, uid: str) -> list[Any]:
    file = store.reports.file(uid)
    assert file is not None
    return [{k: v for k, v in each.items() if k != "partner_txn_uid"} for each in file.tokens]


def test_a_lost_lease_writes_nothing_at_all(proven: Store, clock: Clock) -> None:
    accept(proven, "U1")
    mine = claimed(proven, "U1", inquirers=("P1",))
    clock.forward(LEASE)
    assert proven.backlog.dead(most=1)
    heard = evidence(answer(*TOKENS["ours"]))
    before = proven.reports.file("U1")
    assert not settle(proven, replace(mine, lease_id="another"), CANCELLED, heard)
    assert proven.reports.file("U1") == before


def test_a_good_answer_renews_the_proof_in_time(proven: Store, clock: Clock) -> None:
    """A calm partner is left alone, but not for so long that it would have to prove itself."""
    for n in range(30):
        clock.forward(4)
        accept(proven, f"U{n}")
        mine = claimed(proven, f"U{n}", inquirers=("P1",))
        assert not mine.wait
        assert settle(proven, mine, CANCELLED)
    assert partner(proven)["proven_at"] >= clock.now.replace(minute=1)
    assert clock.now > NOON


def test_failures_that_were_seen_at_the_claim_are_forgiven(proven: Store) -> None:
    execute(proven, "UPDATE partners SET failures = 3")
    accept(proven, "U1")
    mine = claimed(proven, "U1", inquirers=("P1",))
    assert not mine.partner_is_healthy
    assert settle(proven, mine, CANCELLED)
    assert partner(proven)["failures"] == 0


@only_postgresql
def test_what_is_done_at_once_stays_whatever_was_asked_of_the_connection_before(
    open_store: OpenStore,
) -> None:
    """SQLAlchemy resets an isolation level to one in which a statement alone is rolled back."""
    store, other = open_store(connections=1), open_store()
    with store.database.engine.connect().execution_options(
        isolation_level="SERIALIZABLE"
    ) as connection:
        connection.execute(text("SELECT 1"))
    assert store.jobs.accept(order("U1"), hinted=False).status is Status.ACCEPTED
    assert only(row(other, "U1"), "state") == ("pending",)


@only_postgresql
def test_a_server_that_cannot_be_reached_is_unavailable(engine: Engine) -> None:
    url = engine.url.set(host="127.0.0.1", port=1).render_as_string(hide_password=False)
    store = Store(open_database(url))
    with pytest.raises(StoreUnavailable, match="the database cannot be used: connection"):
        store.jobs.accept(order("U1"), hinted=False)


@only_postgresql
def test_a_connection_that_ends_meanwhile_is_unavailable_and_the_next_is_not(
    open_store: OpenStore,
) -> None:
    store = open_store(connections=1)
    kill = Prepared(
        store.database, select(func.pg_terminate_backend(func.pg_backend_pid()).label("done"))
    )
    with pytest.raises(StoreUnavailable, match="terminating connection"):
        kill()
    assert store.jobs.accept(order("U1"), hinted=False).status is Status.ACCEPTED
