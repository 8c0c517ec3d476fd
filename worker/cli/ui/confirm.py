"""What acts on many jobs have in common: counts first, then a clear yes."""

import sys
from typing import Any

import click

from worker.cli.ui.exit_codes import NO
from worker.explain.forecast import Counts


def usage(message: str) -> click.UsageError:
    """Return the error of a command that cannot be understood."""
    return click.UsageError(message, ctx=click.get_current_context())


def put_counts(counts: Counts, *, none: str) -> None:
    """Print how many jobs it is about, or a sentence where it is about none."""
    from worker.cli.ui.tables import Heading, put, table  # noqa: PLC0415 - rich is slow to load

    if not counts:
        put(none)
        return
    headings = (Heading("outcome"), Heading("partner", whole=False), Heading("jobs", number=True))
    put(table(headings, ((*names, count) for names, count in sorted(counts.items()))))


def as_rows(counts: Counts) -> list[dict[str, Any]]:
    """Return the counts as JSON has them."""
    return [
        {"outcome": outcome, "partner_id": partner, "jobs": count}
        for (outcome, partner), count in sorted(counts.items())
    ]


def ask(act: str, what: str) -> None:
    """Ask the person; where nobody can answer, end with what to say instead."""
    if not sys.stdin.isatty():
        message = f"this would {act} {what}: say --yes to do it, --dry-run to look"
        raise usage(message)
    if not click.confirm(f"{act.capitalize()} {what}?", err=True):
        click.echo("Nothing was done.", err=True)
        raise click.exceptions.Exit(NO)
