"""`dialect test`: what stored answers would be judged as by a dialect that is not in use yet."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.config.dialect_file import load_dialect
from worker.explain import Row
from worker.explain.forecast import Forecast, count_rows, word_with_code

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command("test")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@in_two_forms
def try_dialect(*, file: Path, form: str | None) -> None:
    """
    Show what stored answers would be judged as by the dialect FILE.

    Nothing is changed. FILE extends the built-in dialect, as it would behind
    KPLUS_DIALECT_FILE. Exit code 3 if it is wrong, with the key of each fault.
    """
    dialect = load_dialect(file, named="FILE")
    forecast = Forecast()
    with store_of(settings_now()) as store:
        for page in store.conversations.all():
            for job in page:
                forecast.add(job, dialect)
    if wants_json(form):
        print_json(
            {
                "file": click.format_filename(file),
                "answers": forecast.answers,
                "judged_again": forecast.judged_again,
                "changes": forecast.rows(),
                "would_end": count_rows(forecast.ends),
                "contradicting": forecast.contradictions,
            }
        )
        return
    from worker.cli.ui.tables import put  # noqa: PLC0415 - rich is slow to load

    put(*_page(forecast))


def _page(forecast: Forecast) -> "Iterator[RenderableType]":
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import Heading, table  # noqa: PLC0415 - rich is slow to load

    rows = forecast.rows()
    if rows:
        headings = (
            Heading("kind"),
            Heading("word", whole=False),
            Heading("judged then", whole=False),
            Heading("now", whole=False),
            Heading("answers", number=True),
            Heading("jobs", number=True),
            Heading("in doubt", number=True),
            Heading("example", whole=False),
        )
        yield table(headings, map(_cells, rows))
        yield Text()
    yield from map(Text, forecast.summary())


def _cells(row: Row) -> tuple[object, ...]:
    word = word_with_code(row["word"], row["short_code"])
    counts = row["answers"], row["jobs"], row["in_doubt"]
    return row["kind"], word, row["then"], row["now"], *counts, row["example"]
