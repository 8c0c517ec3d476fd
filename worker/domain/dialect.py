"""The meaning of the bank's codes and token statuses: data that an operator can extend."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

Verdict = TypeVar("Verdict")


class CodeVerdict(StrEnum):
    """The meaning of an error code."""

    ALREADY_CANCELLED = "already_cancelled"
    PAID = "paid"
    EXPIRED = "expired"
    REFUSED = "refused"
    LATER = "later"
    OURS = "ours"
    DUPLICATE = "duplicate"
    DOUBT = "doubt"


class StatusVerdict(StrEnum):
    """The meaning of a token status."""

    CANCELLED = "cancelled"
    PAID = "paid"
    EXPIRED = "expired"
    PAYABLE = "payable"
    DOUBT = "doubt"


class Dialect(BaseModel):
    """The bank's vocabulary. Words are compared case-insensitively."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error_codes: dict[str, CodeVerdict] = Field(default_factory=dict)
    short_codes: dict[str, CodeVerdict] = Field(default_factory=dict)
    statuses: dict[str, StatusVerdict] = Field(default_factory=dict)

    @field_validator("error_codes", "short_codes", "statuses")
    @classmethod
    def _unambiguous(cls, words: dict[str, Verdict]) -> dict[str, Verdict]:
        first: dict[str, str] = {}
        for word in words:
            folded = word.strip().casefold()
            if folded in {"", "*"}:
                message = "an empty word, or a bare *, would speak for every word"
                raise PydanticCustomError("for_all", message, {"word": word})
            if folded in first:
                message = "is the same word again, for case does not matter"
                context = {"word": word, "first": first[folded]}
                raise PydanticCustomError("twice", message, context)
            first[folded] = word
        return words

    def codes(self, error_code: str | None, short_code: str | None) -> set[CodeVerdict]:
        """Return what the two codes mean: no verdict, one, or two that contradict."""
        verdicts = (_lookup(self.error_codes, error_code), _lookup(self.short_codes, short_code))
        return {verdict for verdict in verdicts if verdict is not None}

    def status(self, words: tuple[str, ...]) -> set[StatusVerdict | None]:
        """Return what the words of a status mean; None stands for an unknown word."""
        return {_lookup(self.statuses, word) for word in words}

    def extended(self, other: "Dialect") -> "Dialect":
        """Return this dialect with the other's words added; the other's meaning wins."""
        return Dialect(
            error_codes=_merged(self.error_codes, other.error_codes),
            short_codes=_merged(self.short_codes, other.short_codes),
            statuses=_merged(self.statuses, other.statuses),
        )


def _folded(words: Mapping[str, Verdict]) -> dict[str, Verdict]:
    return {word.strip().casefold(): verdict for word, verdict in words.items()}


def _merged(ours: Mapping[str, Verdict], others: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """Merge two tables, spelled as they were written; the other's word replaces ours."""
    replaced = _folded(others)
    kept = {word: ours[word] for word in ours if word.strip().casefold() not in replaced}
    return {**kept, **others}


def _lookup(words: Mapping[str, Verdict], word: str | None) -> Verdict | None:
    """Return the verdict on a word: an exact match first, then the longest prefix."""
    if word is None:
        return None
    known, folded = _folded(words), word.casefold()
    if folded in known:
        return known[folded]
    prefixes = [p for p in known if p.endswith("*") and folded.startswith(p[:-1])]
    return known[max(prefixes, key=len)] if prefixes else None
