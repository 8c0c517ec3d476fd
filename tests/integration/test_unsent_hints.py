"""A hint that could not be sent: its job is hinted at again by the next pass, not after 15 s."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.integration.stock import AGAIN, accept, only, row
from tests.servers.databases import StoreAt
from tests.servers.workers import PARTNER_ID
from worker.broker.hints import Hints
from worker.config.settings import GivenSettings
from worker.enqueue import Producer
from worker.jobs.context import AttemptContext
from worker.jobs.sweep import SweepContext, sweep
from worker.runtime import create_celery
from worker.store import Status, Store

NOBODY = "redis://127.0.0.1:1"


@pytest.mark.parametrize("unsent", [1, 2])
def test_what_was_not_sent_is_hinted_at_by_the_next_pass(
    context: AttemptContext, store: Store, unsent: int
) -> None:
    accept(store, "U1", "U2")
    context_ = SweepContext(
        store=store,
        policy=context.policy,
        high_water=10,
        hint=lambda uids: uids[len(uids) - unsent :],
        random=context.random,
        roster=context.roster,
    )
    assert sweep(context_).hinted == 2 - unsent
    left = [uid for uid in ("U1", "U2") if row(store, uid)["hinted_at"] is None]
    assert len(left) == unsent
    assert [only(row(store, uid), "hints") for uid in left] == [(0,)] * unsent
    again = store.backlog.hint(high_water=10, again_after=AGAIN, roster=context.roster())
    assert sorted(again) == left


def settings_on(database: str, home: Path) -> GivenSettings:
    return GivenSettings(
        home=home,
        database_url=SecretStr(database),
        broker_url=SecretStr(NOBODY),
        partner_id=PARTNER_ID,
    )


def test_hints_name_those_that_were_not_sent(tmp_path: Path) -> None:
    hints = Hints(create_celery(settings_on("sqlite:///unused.db", tmp_path), url=NOBODY))
    assert hints.send(["U1", "U2"]) == ["U1", "U2"]
    assert hints.is_paused


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_producer_whose_broker_is_down_leaves_no_stamp(
    database: str, store_at: StoreAt, tmp_path: Path
) -> None:
    producer = Producer(settings_on(database, tmp_path))
    store = store_at()
    for uid in ("U1", "U2"):
        receipt = producer.enqueue({"partner_txn_uid": uid, "token_id": "T", "reference1": "R"})
        assert receipt.status is Status.ACCEPTED
    many = [{"partner_txn_uid": f"M{n}", "token_id": "T", "reference1": "R"} for n in range(3)]
    assert len(list(producer.enqueue_many(many))) == 3
    assert {row(store, uid)["hinted_at"] for uid in ("U1", "U2", "M0", "M1", "M2")} == {None}
    producer.close()
