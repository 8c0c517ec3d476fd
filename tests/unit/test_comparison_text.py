"""A difference between manifest and table is one line that says where and what."""

from worker.domain.differences import Difference, DifferenceKind
from worker.explain.comparison import (
    DIFFERENCES,
    difference_document,
    difference_line,
    examples_title,
)


def test_every_kind_of_difference_has_a_meaning() -> None:
    assert set(DIFFERENCES) == set(DifferenceKind)


def test_a_line_holds_what_is_known_and_nothing_else() -> None:
    refused = Difference(DifferenceKind.REFUSED, line=3, detail="tokenId: is missing")
    assert difference_line(refused) == "line 3: tokenId: is missing"
    other = Difference(
        DifferenceKind.OTHER_OUTCOME,
        "U1",
        line=7,
        state="refused",
        outcome="paid",
        expected="cancelled",
    )
    assert difference_line(other) == "line 7: U1: refused, outcome paid, expected cancelled"
    assert difference_line(Difference(DifferenceKind.NOT_HERE, "U\x1b2")) == r"U\x1b2"
    assert difference_document(refused) == {
        "kind": DifferenceKind.REFUSED,
        "line": 3,
        "detail": "tokenId: is missing",
    }


def test_a_title_says_whether_there_are_more_and_what_was_accepted() -> None:
    final = DifferenceKind.NOT_FINAL
    assert examples_title(final, listed=2, found=2, accepted=9) == "Not final yet: no difference"
    assert examples_title(final, listed=2, found=3, accepted=0).endswith(", the first 2")
    unknown = DifferenceKind.NOT_HERE
    assert examples_title(unknown, listed=2, found=0, accepted=2) == (
        "Were unknown here, accepted now"
    )
    assert examples_title(unknown, listed=2, found=1, accepted=2).endswith(", the first 2")
