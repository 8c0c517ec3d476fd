"""How an answer is printed: as a table for a person, as one JSON document for a program."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import click

from worker.domain.times import iso
from worker.telemetry.printable import printable_json

Command = TypeVar("Command", bound=Callable[..., Any])
Row = TypeVar("Row")


def in_two_forms(command: Command) -> Command:
    """Give a command `--json` and `--table`, as its argument `form`."""
    for name, text in (
        ("table", "A table, also where standard output is no terminal."),
        ("json", "One JSON document; the default where standard output is no terminal."),
    ):
        command = click.option(f"--{name}", "form", flag_value=name, help=text)(command)
    return command


def limited(command: Command) -> Command:
    """Give a command `--limit`; it reads one row more, and prints those of `up_to`."""
    return click.option(
        "--limit",
        type=click.IntRange(1, 10_000),
        default=50,
        show_default=True,
        help="At most so many.",
    )(command)


@contextmanager
def up_to(limit: int, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Yield the rows to print; afterwards, say if there are more."""
    yield rows[:limit]
    if len(rows) > limit:
        click.echo(f"There are more than {limit}: narrow the list, or raise --limit.", err=True)


def wants_json(form: str | None) -> bool:
    """Return whether the answer is JSON: as asked, else if standard output is no terminal."""
    return form == "json" or (form is None and not sys.stdout.isatty())


def print_json(value: object) -> None:
    """Print one JSON document; times are ISO 8601 in UTC, durations are seconds."""
    readable = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    indent = 2 if sys.stdout.isatty() else None
    text = json.dumps(value, default=_plain, ensure_ascii=not readable, indent=indent)
    click.echo(printable_json(text))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)
