"""Drift is what contradicts an outcome that the order system has acted on, and nothing else."""

import pytest

from worker.domain.decision import Decision
from worker.domain.judgement import PAYABLE
from worker.domain.states import Event, Outcome
from worker.jobs.audit import AUDITED, judge
from worker.store.operators.audits import AuditVerdict

GONE = ("already_cancelled", "cancelled", "expired", "lapsed")


def said(outcome: Outcome | None, heard: str = "said") -> Decision:
    return Decision(Event.SUCCEED, heard, "so", outcome=outcome)


@pytest.mark.parametrize("held", GONE)
@pytest.mark.parametrize("told", ["cancelled", "already_cancelled", "expired"])
def test_a_token_nobody_can_pay_agrees_whatever_it_is_called(held: str, told: str) -> None:
    assert judge(Outcome(held), said(Outcome(told))) is AuditVerdict.AGREES


@pytest.mark.parametrize("held", GONE)
def test_a_token_we_hold_gone_and_the_bank_calls_paid_or_payable_drifts(held: str) -> None:
    assert judge(Outcome(held), said(Outcome.PAID)) is AuditVerdict.DRIFTS
    assert judge(Outcome(held), said(None, PAYABLE)) is AuditVerdict.DRIFTS


def test_a_token_we_hold_paid_drifts_unless_the_bank_says_so_too() -> None:
    assert judge(Outcome.PAID, said(Outcome.PAID)) is AuditVerdict.AGREES
    assert judge(Outcome.PAID, said(Outcome.CANCELLED)) is AuditVerdict.DRIFTS
    assert judge(Outcome.PAID, said(None, PAYABLE)) is AuditVerdict.DRIFTS


@pytest.mark.parametrize("told", [None, Outcome.REFUSED, Outcome.UNKNOWN, Outcome.GAVE_UP])
def test_an_answer_that_settles_nothing_is_no_drift(told: Outcome | None) -> None:
    assert {judge(held, said(told)) for held in AUDITED} == {AuditVerdict.UNHEARD}
