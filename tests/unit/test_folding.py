"""Rows of long doubt are folded, and what they say of the job stays the same."""

from datetime import timedelta
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cases import NOW, REQUEST
from worker.config.dialect_file import built_in
from worker.domain.dialect import CodeVerdict, Dialect
from worker.domain.folding import Fold, StoredAttempt, folds
from worker.domain.kplus import CancelRequest
from worker.domain.rejudgement import Conversation, conclusion_of

MINUTE: Final = timedelta(minutes=1)


def attempt(number: int, words: str, folded: int = 0, **minutes: int) -> StoredAttempt:
    return StoredAttempt(number, NOW + number * MINUTE / 2, words, folded, minutes)


def test_what_lies_between_the_first_and_the_last_is_folded_into_the_last() -> None:
    (fold,) = folds(attempt(n, "silence") for n in range(1, 7))
    assert fold == Fold(
        number=6,
        folded=4,
        minutes={"2026-03-01T12:01Z": 2, "2026-03-01T12:02Z": 2},
        gone=(2, 3, 4, 5),
    )


def test_a_row_that_took_in_others_is_taken_in_with_them() -> None:
    earlier = StoredAttempt(6, NOW, "silence", 4, {"2026-03-01T11:00Z": 4})
    (fold,) = folds([attempt(1, "silence"), earlier, attempt(7, "silence")])
    assert (fold.number, fold.folded, fold.gone) == (7, 5, (6,))
    assert fold.minutes == {"2026-03-01T11:00Z": 4, "2026-03-01T12:00Z": 1}


def test_rows_of_other_words_stay_apart_and_two_are_no_run() -> None:
    rows = [attempt(n, "ab"[n % 2]) for n in range(1, 6)]
    (fold,) = folds(rows)
    assert (fold.number, fold.gone) == (5, (3,))
    assert list(folds(rows[:2])) == []


WORDS = st.sampled_from(["K1", "K2", "K3", "K4"])


@given(
    codes=st.lists(WORDS, max_size=30),
    verdicts=st.dictionaries(
        WORDS, st.sampled_from([CodeVerdict.ALREADY_CANCELLED, CodeVerdict.PAID, CodeVerdict.DOUBT])
    ),
    passes=st.integers(1, 4),
)
def test_no_dialect_comes_to_another_conclusion_by_what_is_left(
    codes: list[str], verdicts: dict[str, CodeVerdict], passes: int
) -> None:
    """Whatever a word is taught to mean later, and however often the rows were folded."""
    taught = Dialect(error_codes=verdicts, statuses=built_in().statuses)
    before = [conversation(number, code) for number, code in enumerate(codes, 1)]
    kept = list(before)
    for n in range(passes):
        upto = [each for each in kept if each.number <= len(codes) * (n + 1) / passes]
        gone = {
            number
            for fold in folds(attempt(each.number, str(each.error_code)) for each in upto)
            for number in fold.gone
        }
        kept = [each for each in kept if each.number not in gone]
    assert len(kept) <= 2 * len(set(codes))
    assert conclusion_of(kept, taught) == conclusion_of(before, taught)


def conversation(number: int, code: str) -> Conversation:
    request = CancelRequest("U1", REQUEST.partner_id, REQUEST.token_id, REQUEST.reference1)
    payable = code == "K4"
    return Conversation(
        number=number,
        request=request,
        heard="payable" if payable else "unknown_code",
        http_status=200,
        status_code="00" if payable else "10",
        error_code=None if payable else code,
        short_code="",
        tokens=((REQUEST.token_id, "REQUESTED"),) if payable else (),
    )
