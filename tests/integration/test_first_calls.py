"""What is said of a partner that waits for the answer of one call."""

from datetime import UTC, datetime

import pytest

from tests.integration.stock import ANSWERED, CANCELLED, LEASE, LOST, Clock, accept, roster, settle
from worker.config.settings import GivenSettings
from worker.doctor.database import _progress
from worker.explain.attention import attention, read_overview
from worker.explain.partner import first_call_sentence, known_partners, partner_cells
from worker.store import Claim, FirstCall, Store


@pytest.fixture
def clock(shared_clock: Clock) -> Clock:
    """The present, by which the pages go."""
    shared_clock.now = datetime.now(UTC)
    return shared_clock


def first_call(store: Store, uid: str = "SLOW") -> Claim:
    mine = store.jobs.claim(uid, lease=LEASE, roster=roster("P1"))
    assert mine is not None
    return mine


def test_the_call_is_named_and_what_waits_behind_it_is_counted(store: Store, clock: Clock) -> None:
    accept(store, "SLOW", "U1", "U2")
    accept(store, "U3", hinted=True)
    accept(store, "OTHER", partner_id="P2")
    assert store.first_calls.under_way() == []
    mine = first_call(store)
    assert store.first_calls.under_way() == [FirstCall("P1", "SLOW", clock.now, 3)]
    settle(store, mine, CANCELLED, ANSWERED)
    assert store.first_calls.under_way() == []
    first_call(store, "U1")
    assert store.first_calls.under_way() == []


def test_of_two_first_calls_the_older_one_is_named(store: Store, clock: Clock) -> None:
    accept(store, "SLOW", "U1", "U2")
    settle(store, first_call(store), LOST)
    first_call(store, "U1")
    clock.forward(1)
    first_call(store, "U2")
    assert [call.partner_txn_uid for call in store.first_calls.under_way()] == ["U1"]


def test_stats_doctor_and_the_list_of_partners_say_what_it_waits_for(
    store: Store, clock: Clock
) -> None:
    """And no longer that somebody should start a worker."""
    accept(store, "SLOW", "U1", "U2")
    clock.forward(-300)
    accept(store, "OLD")
    clock.forward(300)
    first_call(store)
    (call,) = store.first_calls.under_way()
    says = first_call_sentence(call, clock.now)
    assert says.startswith("waits for the answer of one call, about job SLOW, since ")
    assert says.endswith("; then 3 jobs follow")
    overview = read_overview(store)
    assert f"Partner P1 {says}." in [item.what for item in attention(overview)]
    assert not any("is a worker running" in item.what for item in attention(overview))
    waiting = overview.document()["partners_waiting_for_a_call"]
    assert [each["partner_txn_uid"] for each in waiting] == ["SLOW"]
    findings = {finding.check: finding for finding in _progress(store)}
    assert findings["calls of P1"].text == says
    assert "start a worker" not in (findings["progress"].remedy or "")
    (row,) = known_partners(GivenSettings(), store)
    assert row["waits_for"]["following"] == 3
    assert partner_cells(row, clock.now)[-1] == says
