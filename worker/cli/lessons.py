"""What would help with a word of the bank's that the dialect does not know. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.cli.forecast import CODE
from worker.cli.words import shown, typed
from worker.dialect import CodeVerdict, Dialect, StatusVerdict
from worker.kplus import UNREADABLE
from worker.toml_faults import written

CODES = ", ".join(CodeVerdict)
STATUSES = ", ".join(StatusVerdict)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What would help, and the line of the dialect file that does it, if one does."""

    what: str
    line: str | None = None


def lessons(row: Mapping[str, Any], known: Dialect) -> Iterator[Lesson]:
    """Yield what would help with a word, the likeliest first."""
    if row["kind"] == CODE:
        yield from _on_code(row)
    else:
        yield from _on_status(row, known)


def _on_code(row: Mapping[str, Any]) -> Iterator[Lesson]:
    word, short = row["word"], row["short_code"]
    ask = "Ask the bank what it means, and give it that verdict under"
    if word is not None:
        yield Lesson(f"{ask} [error_codes]", _line(word))
    if short:
        instead = "Or, where only the short code says what happened, under" if word else ask
        yield Lesson(f"{instead} [short_codes]", _line(short))
    if word is None and not short:
        yield Lesson(
            "The bank sent no code that a file could teach. Ask it what such an answer means: "
            f"`kplus-cancel show {typed(shown(row['example']))}` has it"
        )


def _on_status(row: Mapping[str, Any], known: Dialect) -> Iterator[Lesson]:
    words = row["word"].split(",")
    for word in words:
        if known.status((word,)) != {None}:
            continue
        if UNREADABLE in word:
            yield Lesson("A status stood in a form that cannot be read: ask the bank")
        else:
            what = "Ask the bank what it means, and give it that verdict under [statuses]"
            yield Lesson(what, _line(word))
    if len(words) > 1:
        yield Lesson(
            "It stood in a list of several: `dialect apply` leaves such answers alone, "
            "and the bank is asked again"
        )


def _line(word: str) -> str:
    return f'{written(word)} = "VERDICT"'
