"""`dialect test`: what stored answers would be judged as by a dialect that nobody uses yet."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from worker.cli.ui.confirm import as_rows
from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.config.dialect_file import load_dialect
from worker.explain.forecast import Forecast, stays
from worker.explain.text import jobs


@click.command("test")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@in_two_forms
def trial(*, file: Path, form: str | None) -> None:
    """
    Show what stored answers would be judged as by the dialect FILE.

    Nothing is changed. FILE extends the built-in dialect, as it would behind
    KPLUS_DIALECT_FILE. Exit code 3 if it is wrong, with the key of each fault.
    """
    dialect = load_dialect(file, named="FILE")
    forecast = Forecast()
    with store_of(settings_now()) as store:
        for page in store.conversations.all():
            for told in page:
                forecast.add(told, dialect)
    if wants_json(form):
        print_json(
            {
                "file": click.format_filename(file),
                "answers": forecast.answers,
                "judged_again": forecast.judged_again,
                "changes": forecast.rows(),
                "would_end": as_rows(forecast.ends),
                "contradicting": forecast.contradictions,
            }
        )
        return
    from worker.cli.ui.tables import put  # noqa: PLC0415 - rich is slow to load

    put(*_page(forecast))


def _page(forecast: Forecast) -> Iterator[Any]:
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
    yield Text(_judged(forecast, changed=bool(rows)))
    ends: Counter[str] = Counter()
    for (outcome, _), count in forecast.ends.items():
        ends[outcome] += count
    told = ", ".join(f"{outcome} {count}" for outcome, count in ends.most_common())
    would = f"would end {jobs(ends.total())} in doubt: {told}" if told else "would end no job"
    yield Text(f"`kplus-cancel dialect apply` {would}.")
    yield from map(Text, stays(forecast.contradictions))


def _judged(forecast: Forecast, *, changed: bool) -> str:
    again, left = forecast.judged_again, forecast.answers - forecast.judged_again
    answers = f"{again} stored answer{' was' if again == 1 else 's were'} judged again"
    verb = "keeps its judgement" if left == 1 else "keep theirs"
    kept = f"; {left} more {verb}, for too little is stored" if left else ""
    nothing = "" if changed else "Nothing would be judged otherwise. "
    return f"{nothing}{answers}{kept}."


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    word = "(none sent)" if row["word"] is None else row["word"]
    named = f"{word} ({row['short_code']})" if row["short_code"] else word
    counts = row["answers"], row["jobs"], row["in_doubt"]
    return row["kind"], named, row["then"], row["now"], *counts, row["example"]
