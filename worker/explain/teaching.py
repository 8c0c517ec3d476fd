"""What to do about a word of the bank that the dialect does not know. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from worker.config.toml_faults import toml_key
from worker.domain.dialect import CodeVerdict, Dialect, StatusVerdict
from worker.domain.kplus import UNREADABLE
from worker.explain import Row
from worker.explain.forecast import CODE
from worker.explain.text import shown, typed

CODES = ", ".join(CodeVerdict)
STATUSES = ", ".join(StatusVerdict)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What would help, and the line of the dialect file that does it, if one does."""

    what: str
    line: str | None = None


def suggestions(row: Row, known: Dialect) -> Iterator[Suggestion]:
    """Yield what would help with a word, the likeliest first."""
    if row["kind"] == CODE:
        yield from _on_code(row)
    else:
        yield from _on_status(row, known)


def _on_code(row: Row) -> Iterator[Suggestion]:
    word, short = row["word"], row["short_code"]
    ask = "Ask the bank what it means, and give it that verdict under"
    if word is not None:
        yield Suggestion(f"{ask} [error_codes]", _line(word))
    if short:
        instead = "Or, where only the short code says what happened, under" if word else ask
        yield Suggestion(f"{instead} [short_codes]", _line(short))
    if word is None and not short:
        yield Suggestion(
            "The bank sent no code that a file could teach. Ask it what such an answer means: "
            f"`kplus-cancel show {typed(shown(row['example']))}` has it"
        )


def _on_status(row: Row, known: Dialect) -> Iterator[Suggestion]:
    words = row["word"].split(",")
    for word in words:
        if known.status((word,)) != {None}:
            continue
        if UNREADABLE in word:
            yield Suggestion("A status stood in a form that cannot be read: ask the bank")
        else:
            what = "Ask the bank what it means, and give it that verdict under [statuses]"
            yield Suggestion(what, _line(word))
    if len(words) > 1:
        yield Suggestion(
            "It stood in a list of several: `dialect apply` leaves such answers alone, "
            "and the bank is asked again"
        )


def _line(word: str) -> str:
    return f'{toml_key(word)} = "VERDICT"'
