"""What the bank's codes and token statuses mean: data, which an operator can extend."""

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from worker.errors import SettingsError
from worker.toml_faults import TomlFaults, decode, judged, parse

Verdict = TypeVar("Verdict")


class CodeVerdict(StrEnum):
    """What an error code says."""

    ALREADY_CANCELLED = "already_cancelled"
    PAID = "paid"
    EXPIRED = "expired"
    REFUSED = "refused"
    LATER = "later"
    OURS = "ours"
    DUPLICATE = "duplicate"
    DOUBT = "doubt"


class StatusVerdict(StrEnum):
    """What a token status says."""

    CANCELLED = "cancelled"
    PAID = "paid"
    EXPIRED = "expired"
    PAYABLE = "payable"
    DOUBT = "doubt"


class Dialect(BaseModel):
    """The bank's vocabulary. Words are compared without regard to case."""

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
                told = {"word": word, "first": first[folded]}
                raise PydanticCustomError("twice", message, told)
            first[folded] = word
        return words

    def codes(self, error_code: str | None, short_code: str | None) -> set[CodeVerdict]:
        """Return what the two codes say: none, one verdict, or two that contradict."""
        verdicts = (_look(self.error_codes, error_code), _look(self.short_codes, short_code))
        return {verdict for verdict in verdicts if verdict is not None}

    def status(self, words: tuple[str, ...]) -> set[StatusVerdict | None]:
        """Return what a status says word by word; None stands for an unknown word."""
        return {_look(self.statuses, word) for word in words}

    def extended(self, other: "Dialect") -> "Dialect":
        """Return this dialect with the other's words added; the other's meaning wins."""
        return Dialect(
            error_codes=_joined(self.error_codes, other.error_codes),
            short_codes=_joined(self.short_codes, other.short_codes),
            statuses=_joined(self.statuses, other.statuses),
        )

    @classmethod
    def built_in(cls) -> Self:
        """Return the packaged vocabulary."""
        return cls.model_validate(
            tomllib.loads(files("worker").joinpath("dialect.toml").read_text())
        )

    @classmethod
    def load(cls, path: Path | None, *, named: str = "KPLUS_DIALECT_FILE") -> "Dialect":
        """
        Return the packaged vocabulary, extended by a TOML file where one is given.

        Raises `SettingsError`, which says `named` and the file, and of each fault the key and
        the allowed verdicts.
        """
        if path is None:
            return cls.built_in()
        try:
            own = cls._read(path.read_bytes())
        except TomlFaults as found:
            lines = (f"{named}: {path}{fault}" for fault in found.faults)
            raise SettingsError("\n".join(lines)) from None
        except (OSError, ValueError) as error:  # ValueError: no path of any file's
            why = getattr(error, "strerror", None) or error
            raise SettingsError(f"{named}: {path} cannot be read: {why}") from error
        return cls.built_in().extended(own)

    @classmethod
    def _read(cls, content: bytes) -> Self:
        document = parse(decode(content))
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise judged(error, known=cls.model_fields) from None


def _folded(words: Mapping[str, Verdict]) -> dict[str, Verdict]:
    return {word.strip().casefold(): verdict for word, verdict in words.items()}


def _joined(ours: Mapping[str, Verdict], others: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """Join two tables, spelled as they were written; the other's word replaces ours."""
    replaced = _folded(others)
    kept = {word: ours[word] for word in ours if word.strip().casefold() not in replaced}
    return {**kept, **others}


def _look(words: Mapping[str, Verdict], word: str | None) -> Verdict | None:
    """Return the verdict on a word: an exact match first, then the longest prefix."""
    if word is None:
        return None
    known, folded = _folded(words), word.casefold()
    if folded in known:
        return known[folded]
    prefixes = [p for p in known if p.endswith("*") and folded.startswith(p[:-1])]
    return known[max(prefixes, key=len)] if prefixes else None
