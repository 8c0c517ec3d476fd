"""What holds of every judgement, whatever the bank or the network comes up with."""

import json
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.cases import (
    FIRST,
    NOW,
    POLICY,
    REQUEST,
    answer,
    answers,
    bodies,
    documents,
    heard,
    jobs,
    json_values,
)
from worker.domain.answer import Answer
from worker.domain.decision import Case, Decision
from worker.domain.judgement import decide, decide_lease_ended
from worker.domain.kplus import MAX_TEXT_LENGTH, Envelope, read_envelope
from worker.domain.states import OUTCOMES, TRANSITIONS, Event, Outcome, State
from worker.errors import BankError

many = settings(max_examples=200)

BELIEVED = {"cancelled": "CANCELLED", "expired": "EXPIRED", "paid": "PAID"}


def words_of(envelope: Envelope) -> list[str]:
    """Return every word that is kept of an answer."""
    fields = ("partner_txn_uid", "partner_id", "status_code", "error_code", "error_desc")
    texts = [getattr(envelope, field) for field in (*fields, "short_code")]
    for token in envelope.tokens:
        texts += [token.token_id, token.reference1, token.joined_status(), *(token.status or ())]
    return [text for text in texts if text is not None]


def assert_storable(text: str) -> None:
    assert "\0" not in text
    assert text.encode().decode() == text


def assert_consistent(decision: Decision) -> None:
    target = TRANSITIONS[decision.event].target
    if decision.outcome is None:
        assert decision.event in {Event.RETRY, Event.DOUBT}
        assert decision.wait is not None
        assert decision.wait > timedelta(0)
    else:
        assert decision.outcome in OUTCOMES[target]
        assert decision.wait is None
    assert decision.pause_reason is None or not decision.spent
    assert not (decision.pause_reason and decision.bank_failed)


@many
@given(heard=heard(), case=jobs())
def test_every_answer_and_every_fault_has_a_judgement(
    heard: Answer | BankError, case: Case
) -> None:
    decision = decide(heard, case, POLICY)
    assert_consistent(decision)
    for text in (decision.heard, decision.reason, decision.token_status or ""):
        assert_storable(text)
    assert len(decision.heard) <= 64
    assert len(decision.reason) < 5000
    assert len(decision.token_status or "") <= MAX_TEXT_LENGTH


@given(case=jobs())
def test_every_silence_has_a_judgement(case: Case) -> None:
    decision = decide_lease_ended(case, POLICY)
    assert_consistent(decision)
    assert decision.outcome in {None, Outcome.UNKNOWN}


@many
@given(content=documents(), case=jobs())
def test_nothing_is_cancelled_or_paid_unless_the_bank_said_so(
    content: dict[str, Any], case: Case
) -> None:
    """Judged from the raw document: a second, plainer reading of the same contract."""
    decision = decide(answer(content), case, POLICY)
    target = TRANSITIONS[decision.event].target
    if target not in {State.SUCCEEDED, State.REFUSED}:
        return
    echo = content.get("partnerTxnUid")
    assert not isinstance(echo, str) or echo.strip() in {"", REQUEST.partner_txn_uid}
    if str(content.get("statusCode")).strip() == "00":
        assert decision.outcome is not None
        listed = content["tokenList"]
        tokens = listed if isinstance(listed, list) else [listed]
        ours = [token for token in tokens if _is_ours(token)]
        said = {_flat(token["status"]) for token in ours}
        assert {BELIEVED[decision.outcome]} == {word.upper() for word in said}
        assert str(content["partnerTxnUid"]).strip() == REQUEST.partner_txn_uid
        assert str(content["partnerId"]).strip() == REQUEST.partner_id
    else:
        assert content.get("errorCode") is not None or "(" in str(content.get("errorDesc"))


def _is_ours(token: Any) -> bool:
    return isinstance(token, dict) and str(token.get("tokenId")).strip() == REQUEST.token_id


def _flat(status: Any) -> str:
    words = status if isinstance(status, list) else [status]
    said = {str(word).strip() for word in words if word is not None} - {""}
    assert len(said) == 1
    return said.pop()


@many
@given(heard=heard(), case=jobs())
def test_a_doubted_job_never_ends_as_if_it_had_not_been(
    heard: Answer | BankError, case: Case
) -> None:
    decision = decide(heard, case, POLICY)
    if case.doubted:
        assert decision.outcome not in {Outcome.REFUSED, Outcome.GAVE_UP, Outcome.LAPSED}


@many
@given(heard=heard(), attempts=st.integers(0, 10**6))
def test_what_is_not_spent_never_exhausts_by_count(
    heard: Answer | BankError, attempts: int
) -> None:
    case = Case(
        request=REQUEST,
        attempts=attempts,
        doubted=False,
        created_at=NOW,
        expires_at=None,
        at=NOW,
        jitter=0.0,
    )
    decision = decide(heard, case, POLICY)
    assert decision.spent or decision.event is Event.RETRY


@many
@given(told=answers(), case=jobs())
def test_no_wait_is_shorter_than_the_bank_advised(told: Answer, case: Case) -> None:
    decision = decide(told, case, POLICY)
    if decision.retry_after is not None and decision.wait is not None:
        assert decision.wait >= decision.retry_after


@many
@given(
    body=bodies(),
    status=st.integers(-(10**6), 10**6),
    headers=st.dictionaries(st.just("retry-after") | st.text(max_size=5), st.text(max_size=20)),
)
def test_reading_never_fails_and_keeps_only_what_a_database_can(
    body: bytes, status: int, headers: dict[str, str]
) -> None:
    told = Answer.read(http_status=status, headers=headers, body=body, at=NOW)
    assert (told.envelope is None) == bool(told.flaw)
    if told.envelope is not None:
        for word in words_of(told.envelope):
            assert_storable(word)
            assert len(word) <= MAX_TEXT_LENGTH


@many
@given(st.dictionaries(st.sampled_from(sorted(["statusCode", "errorCode"])), json_values()))
def test_any_value_in_any_field_is_read_or_flawed(content: dict[str, Any]) -> None:
    fields = ("partnerTxnUid", "partnerId", "errorDesc", "tokenList")
    for field in fields:
        for value in content.values():
            body = json.dumps({"statusCode": "00"} | content | {field: value}).encode()
            envelope, flaw = read_envelope(body)
            assert (envelope is None) == bool(flaw)


@given(heard=heard())
def test_a_judgement_is_a_function_of_its_arguments(heard: Answer | BankError) -> None:
    assert decide(heard, FIRST, POLICY) == decide(heard, FIRST, POLICY)
