"""What a request can carry: everything that an order may hold, and no more than that."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.kplus import CancelRequest
from worker.domain.orders import Order, read_order
from worker.domain.states import Outcome
from worker.domain.wire import LONGEST, decide_unsendable, unsendable
from worker.errors import InvalidOrder

FINE = CancelRequest("U1", "P1", "T1", "R1")


def test_an_ordinary_request_can_be_sent() -> None:
    assert unsendable(FINE) == []


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("partner_txn_uid", "partnerTxnUid"),
        ("partner_id", "partnerId"),
        ("token_id", "tokenId"),
        ("reference1", "reference1"),
    ],
)
def test_each_field_is_named_that_cannot_be_sent(field: str, name: str) -> None:
    for wrong in ("", "a\nb", "a\0", "a\x7f", "x" * (LONGEST[field] + 1), 5):
        given: dict[str, Any] = {field: wrong}
        assert unsendable(replace(FINE, **given)) == [name]
    longest = {field: "x" * LONGEST[field]}
    assert unsendable(replace(FINE, **longest)) == []


TEXT = st.text(min_size=1, max_size=130) | st.text(st.characters(max_codepoint=0x7F), max_size=5)


@given(uid=TEXT, partner_id=TEXT, token_id=TEXT, reference1=TEXT)
def test_what_an_order_may_hold_can_be_sent(
    uid: str, partner_id: str, token_id: str, reference1: str
) -> None:
    fields = {"partner_txn_uid": uid, "partner_id": partner_id}
    try:
        order = read_order({**fields, "token_id": token_id, "reference1": reference1})
    except InvalidOrder:
        return
    assert isinstance(order, Order)
    assert unsendable(CancelRequest(uid, partner_id, token_id, reference1)) == []


def test_a_job_that_cannot_be_sent_ends_unknown_only_if_it_was_sent_before() -> None:
    assert decide_unsendable(["tokenId"], doubted=False).outcome is Outcome.GAVE_UP
    decision = decide_unsendable(["partnerTxnUid", "tokenId"], doubted=True)
    assert decision.outcome is Outcome.UNKNOWN
    assert "partnerTxnUid and tokenId" in decision.reason
