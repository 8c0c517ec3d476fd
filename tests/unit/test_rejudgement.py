"""Stored answers judged again: never otherwise than the answers themselves would be."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.cases import REQUEST, answer, answers, document, entry, error
from worker.config.dialect_file import built_in
from worker.domain.answer import Answer
from worker.domain.dialect import CodeVerdict, Dialect, StatusVerdict
from worker.domain.judgement import judge
from worker.domain.rejudgement import (
    REJUDGEABLE,
    Conclusion,
    Conversation,
    Rejudgement,
    conclude,
    conclusion_of,
    rejudge,
)
from worker.domain.states import Outcome
from worker.telemetry.redaction import REDACTED

BUILT_IN = built_in()
TAUGHT = BUILT_IN.extended(
    Dialect.model_validate(
        {
            "error_codes": {"token_frozen": "already_cancelled", "token_used": "paid"},
            "short_codes": {"EMFZ": "already_cancelled"},
            "statuses": {"FROZEN": "cancelled", "A,B": "cancelled", "FFF*": "cancelled"},
        }
    )
)


def kept(heard: Answer, dialect: Dialect = BUILT_IN, *, old: bool = False) -> Conversation:
    """Return what is stored of an answer: as now, or as a version that kept no short codes."""
    judged = judge(heard, REQUEST, dialect)
    envelope = heard.envelope
    if envelope is None:
        return Conversation(1, REQUEST, judged.heard, heard.http_status)
    return Conversation(
        number=1,
        request=REQUEST,
        heard=judged.heard,
        http_status=heard.http_status,
        status_code=envelope.status_code,
        error_code=envelope.error_code,
        error_desc=envelope.error_desc,
        short_code=None if old else envelope.short_code or "",
        tokens=tuple((each.token_id, each.joined_status()) for each in envelope.tokens),
    )


def dialects() -> st.SearchStrategy[Dialect]:
    """Return dialects that know, each in its own way, the words that the answers are made of."""

    def table(words: tuple[str, ...], verdicts: Any) -> st.SearchStrategy[dict[str, Any]]:
        return st.dictionaries(st.sampled_from(words), st.sampled_from([*verdicts]))

    codes = ("qr_paid", "qr_cancelled", "general_error", "00", "PAID", "internal_error", "in*")
    return st.builds(
        Dialect,
        error_codes=table(codes, CodeVerdict),
        short_codes=table(("EMQRC", "EMG", "EMIR"), CodeVerdict),
        statuses=table(("CANCELLED", "PAID", "EXPIRED", "CANCELLED,PAID", "00"), StatusVerdict),
    )


NO_UID = answer(document(partnerTxnUid=None, errorDesc="(EMG)"))
NO_PARTNER = answer(document(partnerId=None))
ONE_WORD = answer(document(tokenList=[entry(status="A,B")]))
TWO_WORDS = answer(document(tokenList=[entry(status=["A", "B"])]))
CUT_WORDS = answer(document(tokenList=[entry(status=["F" * 200, "PAID"])]))
LONG = answer(error("token_used", "x" * 300 + "(EMFZ)"))


@given(heard=answers(), then=dialects(), now=dialects(), old=st.booleans())
@example(heard=NO_UID, then=BUILT_IN, now=Dialect(), old=False)
@example(heard=NO_PARTNER, then=BUILT_IN, now=TAUGHT, old=False)
@example(heard=ONE_WORD, then=BUILT_IN, now=TAUGHT, old=False)
@example(heard=TWO_WORDS, then=BUILT_IN, now=TAUGHT, old=False)
@example(heard=CUT_WORDS, then=BUILT_IN, now=TAUGHT, old=False)
@example(heard=LONG, then=BUILT_IN, now=TAUGHT, old=True)
def test_what_is_stored_is_judged_as_the_answer_itself_would_be(
    *, heard: Answer, then: Dialect, now: Dialect, old: bool
) -> None:
    """Whatever the dialect was and is: otherwise a job could end by what the bank never said."""
    reading = rejudge(kept(heard, then, old=old), now)
    if reading.rejudged:
        judged = judge(heard, REQUEST, now)
        assert (reading.heard, reading.token_status) == (judged.heard, judged.token_status)
    else:
        assert reading.heard == judge(heard, REQUEST, then).heard


@pytest.mark.parametrize(
    ("content", "now"),
    [
        (error("token_frozen"), "already_cancelled"),
        (error("token_used", "Used up."), "paid"),
        (error("nobody_knows", "frozen (EMFZ)"), "already_cancelled"),
        (error("nobody_knows", "frozen " * 50 + "(EMFZ)"), "already_cancelled"),
        (error("token_used", "frozen (EMFZ)"), "contradiction"),
        (document(tokenList=[entry(status="FROZEN")]), "cancelled"),
        (document(tokenList=[entry(status=["FROZEN"])]), "cancelled"),
        (document(tokenList=[entry(tokenId="other", status="A,B"), entry()]), "cancelled"),
        (document(tokenList=[entry(status="FROZEN"), entry(status="PAID")]), "contradiction"),
        (document(tokenList=[entry(status=[])]), "status_missing"),
        (document(tokenList=None), "token_missing"),
        (document(), "cancelled"),
        (error("nobody_knows"), "unknown_code"),
    ],
)
def test_an_answer_is_judged_again_by_what_is_stored_of_it(content: Any, now: str) -> None:
    reading = rejudge(kept(answer(content)), TAUGHT)
    assert (reading.heard, reading.rejudged) == (now, True)


@pytest.mark.parametrize(
    ("content", "http_status", "heard"),
    [
        (document(partnerTxnUid="other"), 200, "foreign_echo"),
        (document(tokenList=[entry(tokenId="other", status="FROZEN")]), 200, "foreign_echo"),
        (document(partnerId=None), 200, "no_echo"),
        (document(errorDesc="(EMG)"), 200, "contradiction"),
        (document(tokenList=[entry(status=["FROZEN", "FROZEN"])]), 200, "unknown_status"),
        (document(tokenList=[entry(status="F" * 300)]), 200, "unknown_status"),
        (b"<html>", 200, "unreadable"),
        (b"", 503, "http_503"),
    ],
)
def test_an_answer_of_which_too_little_is_stored_keeps_its_judgement(
    content: Any, http_status: int, heard: str
) -> None:
    stored = kept(answer(content, http_status=http_status))
    assert rejudge(stored, TAUGHT) == Rejudgement(stored, heard)


@pytest.mark.parametrize("heard", ["lease_ended", "read_timeout", "unconfigured", "unknown_code"])
def test_without_an_answer_there_is_nothing_to_judge_again(heard: str) -> None:
    stored = Conversation(1, REQUEST, heard)
    assert rejudge(stored, TAUGHT) == Rejudgement(stored, heard)


def test_an_answer_is_judged_again_only_after_words_that_say_its_echoes_were_ours() -> None:
    """A word that is added to the judgement has to be thought of here."""
    whole = kept(answer(error("token_frozen")))
    for heard in ("foreign_echo", "no_echo", "unreadable", "http_500", "lease_ended", "new_word"):
        assert not rejudge(replace(whole, heard=heard), TAUGHT).rejudged
    for heard in REJUDGEABLE:
        assert rejudge(replace(whole, heard=heard), TAUGHT).heard == "already_cancelled"


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("frozen (EMFZ)", True),
        (None, True),
        ("x" * 199, True),
        ("x" * 200, False),
        (f"frozen {REDACTED} (EMFZ)", False),
    ],
)
def test_of_older_rows_the_short_code_is_read_where_the_text_is_whole(
    *, text: str | None, again: bool
) -> None:
    stored = replace(kept(answer(error("token_frozen", text)), old=True), error_desc=text)
    assert rejudge(stored, TAUGHT).rejudged is again


def said(*heard: str) -> Conclusion:
    """Return what the answers of a job say together in which these words are heard."""
    return conclude(
        Rejudgement(Conversation(number, REQUEST, "unknown_code"), word)
        for number, word in enumerate(heard, start=1)
    )


@pytest.mark.parametrize(
    ("heard", "outcome", "by"),
    [
        (["cancelled"], Outcome.CANCELLED, 1),
        (["lease_ended", "already_cancelled", "unknown_code"], Outcome.ALREADY_CANCELLED, 2),
        (["paid", "paid"], Outcome.PAID, 1),
        (["duplicate", "expired"], Outcome.EXPIRED, 2),
        (["cancelled", "already_cancelled"], Outcome.CANCELLED, 1),
        (["already_cancelled", "cancelled"], Outcome.ALREADY_CANCELLED, 1),
        (["payable", "cancelled", "refused"], Outcome.CANCELLED, 2),
    ],
)
def test_a_job_ends_by_the_first_answer_that_says_what_became_of_its_token(
    heard: list[str], outcome: Outcome, by: int
) -> None:
    found = said(*heard)
    assert found.outcome is outcome
    assert found.by is not None
    assert found.by.conversation.number == by


@pytest.mark.parametrize(
    "heard",
    [
        ["cancelled", "paid"],
        ["paid", "unknown_code", "already_cancelled"],
        ["cancelled", "expired"],
        ["cancelled", "payable"],
        ["paid", "paid", "payable"],
    ],
)
def test_answers_that_contradict_each_other_end_no_job(heard: list[str]) -> None:
    found = said(*heard)
    assert found.outcome is None
    assert found.by is not None


@pytest.mark.parametrize(
    "heard",
    [[], ["refused"], ["later", "ours", "duplicate", "doubt", "payable", "not_cancelled"]],
)
def test_whatever_is_no_truth_about_the_token_ends_no_job(heard: list[str]) -> None:
    assert said(*heard) == Conclusion()


def test_a_job_ends_by_what_the_dialect_understands_of_its_answers() -> None:
    stored = [kept(answer(error("nobody_knows"))), kept(answer(error("token_used")))]
    assert conclusion_of(stored, BUILT_IN) == Conclusion()
    assert conclusion_of(stored, TAUGHT).outcome is Outcome.PAID
