"""`dialect`: the bank's words that the dialect does not know, and what a new dialect changes."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from worker.cli.commands.dialect_apply import apply_dialect
from worker.cli.commands.dialect_test import try_dialect
from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.config.dialect_file import load_dialect
from worker.domain.dialect import Dialect
from worker.explain import Row
from worker.explain.forecast import CODE, STATUS, word_with_code
from worker.explain.teaching import CODES, STATUSES, Suggestion, suggestions
from worker.explain.text import hint
from worker.store import Store

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.group
def dialect() -> None:
    """Teach the worker what the bank's words mean, and judge stored answers by it."""


@dialect.command
@in_two_forms
def unknown(*, form: str | None) -> None:
    """
    List words of the bank that the dialect does not know, most frequent first.

    Beside each: what would help. See `dialect test` for what a file would change, and
    `dialect apply` for the jobs in doubt that it would end.
    """
    settings = settings_now()
    known = load_dialect(settings.dialect_file)
    with store_of(settings) as store:
        rows = [*_codes(store, known), *_statuses(store, known)]
    rows = [{**row, "help": list(suggestions(row, known))} for row in rows]
    if wants_json(form):
        print_json(rows)
        return
    from worker.cli.ui.tables import put  # noqa: PLC0415 - rich is slow to load

    put(*_page(rows))


dialect.add_command(try_dialect)
dialect.add_command(apply_dialect)


def _page(rows: Sequence[Row]) -> "Iterator[RenderableType]":
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import Heading, heading, listed, table  # noqa: PLC0415 - likewise

    if not rows:
        yield Text("The dialect knows every word that the bank has used.")
        return
    now = datetime.now(UTC)
    headings = (
        Heading("kind"),
        Heading("word", whole=False),
        Heading("said", whole=False),
        Heading("times", number=True),
        Heading("in doubt", number=True),
        Heading("last"),
        Heading("example", whole=False),
    )
    yield table(headings, (_cells(row, now) for row in rows))
    yield heading("What would help")
    for row in rows:
        yield Text(_word(row), style="bold")
        yield from _help(row["help"])
    yield heading("Then")
    yield listed(_THEN)


_THEN = (
    f"VERDICT is, for codes, {CODES}; for statuses {STATUSES}.",
    "To see what a file would change, before a worker uses it: kplus-cancel dialect test FILE",
    "Set KPLUS_DIALECT_FILE to it and restart the workers: jobs in doubt are asked about again.",
    "To end those whose stored answers say enough: kplus-cancel dialect apply --reason WHY",
)


def _help(found: Sequence[Suggestion]) -> "Iterator[RenderableType]":
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import listed  # noqa: PLC0415 - rich is slow to load

    for each in found:
        yield listed([f"{each.what}{':' if each.line else '.'}"])
        if each.line:
            yield Text(f"    → {each.line}", overflow="fold")


def _codes(store: Store, known: Dialect) -> list[dict[str, Any]]:
    return [
        {"kind": CODE, **row._asdict()}
        for row in store.unknown_words.codes()
        if not known.codes(row.word, row.short_code or None)
    ]


def _statuses(store: Store, known: Dialect) -> list[dict[str, Any]]:
    """Return statuses that are not known; of several, joined by commas, one is enough."""
    return [
        {"kind": STATUS, **row._asdict(), "short_code": None}
        for row in store.unknown_words.statuses()
        if None in known.status(tuple(row.word.split(",")))
    ]


def _cells(row: Row, now: datetime) -> tuple[object, ...]:
    last = hint(row["last_at"], now)
    counts = row["times"], row["in_doubt"]
    return row["kind"], _word(row), row["said"], *counts, last, row["example"]


def _word(row: Row) -> str:
    return word_with_code(row["word"], row["short_code"])
