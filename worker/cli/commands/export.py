"""`export`: jobs that have ended, for an order system that asks instead of waiting for events."""

import csv
import json
import sys
from collections.abc import Callable
from typing import Any, TextIO

import click

from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.filters import narrowed_by
from worker.domain.cells import marked
from worker.domain.events import FIELDS
from worker.store import JobFilter
from worker.store.reports.exports import Cursor

FORMATS = ("jsonl", "csv")
COLUMNS = ("cursor", "id", *FIELDS)


class CursorParam(click.ParamType[Cursor]):
    """Where an export goes on: a row's cursor, or a time with an offset."""

    name = "cursor"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the cursor."""
        if isinstance(value, Cursor):
            return value
        try:
            return Cursor.read(value)
        except ValueError:
            self.fail(f"{value!r} is no cursor of an export, nor 2026-03-01T12:00:00Z", param, ctx)


@click.command
@click.option("--since", type=CursorParam(), metavar="CURSOR", help="Only what follows this row.")
@narrowed_by("outcome", "partner", "code")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="jsonl",
    show_default=True,
    help="JSON Lines, or CSV with a line of names.",
)
def export(*, since: Cursor | None, wanted: JobFilter, form: str) -> None:
    """
    Print the jobs that have ended, in the order of their ends, each with a cursor.

    Keep the cursor of the last row that you stored, and go on with --since: no job is left
    out. What ended in the last five minutes comes with a later export.

    In CSV a text that a spreadsheet would take for a formula, or with control characters, is
    marked: it begins with ', and `import` takes the mark off again.
    """
    put = csv_rows(sys.stdout) if form == "csv" else _jsonl
    with store_of(settings_now()) as store:
        for page in store.exports.since(since or Cursor(), wanted):
            for row in page:
                put(row)


def _jsonl(row: dict[str, Any]) -> object:
    return sys.stdout.write(f"{json.dumps(row)}\n")


def csv_rows(stream: TextIO) -> Callable[[dict[str, Any]], object]:
    """Write the line of names; return what writes a row."""
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    return lambda row: writer.writerow({name: marked(value) for name, value in row.items()})
