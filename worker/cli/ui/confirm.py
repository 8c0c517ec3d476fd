"""What commands that act on many jobs share: counts first, then a confirmation."""

import sys

import click

from worker.cli.ui.exit_codes import NO
from worker.explain.forecast import Counts


def usage(message: str) -> click.UsageError:
    """Return the error for options that do not fit together."""
    return click.UsageError(message, ctx=click.get_current_context())


def put_counts(counts: Counts, *, none: str) -> None:
    """Print how many jobs are concerned, or the sentence `none` if there are none."""
    from worker.cli.ui.tables import Heading, put, table  # noqa: PLC0415 - rich is slow to load

    if not counts:
        put(none)
        return
    headings = (Heading("outcome"), Heading("partner", whole=False), Heading("jobs", number=True))
    put(table(headings, ((*names, count) for names, count in sorted(counts.items()))))


def ask(act: str, what: str) -> None:
    """Ask the person; without a terminal, raise a usage error that names the options."""
    if not sys.stdin.isatty():
        message = f"this would {act} {what}: say --yes to do it, --dry-run to look"
        raise usage(message)
    if not click.confirm(f"{act.capitalize()} {what}?", err=True):
        click.echo("Nothing was done.", err=True)
        raise click.exceptions.Exit(NO)
