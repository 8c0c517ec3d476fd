"""How a command acts on jobs that were named, or on many that a filter chose: page after page."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import click

from worker.cli.ui.confirm import ask, put_counts
from worker.cli.ui.exit_codes import NO
from worker.cli.ui.output import wants_json
from worker.explain.forecast import Counts
from worker.explain.text import jobs, shown

Pages = Callable[[], Iterator[list[dict[str, Any]]]]


def choose(
    uids: Iterable[str], pages: Pages, *, act: str, sure: bool, form: str | None
) -> tuple[Callable[[], Iterator[str]], Counts]:
    """
    Return what yields the jobs that are named, or else those of the pages, and their counts.

    The counts of the pages are printed and, unless `sure`, confirmed first.
    """
    if uids:
        return named(uids), Counter()
    counts = count(pages)
    if not wants_json(form):
        put_counts(counts, none="No job matches.")
    if counts and not sure:
        ask(act, jobs(counts.total()))
    return found(pages), counts


def named(uids: Iterable[str]) -> Callable[[], Iterator[str]]:
    """Return what yields each uid once."""
    return lambda: iter(dict.fromkeys(uids))


def found(pages: Pages) -> Callable[[], Iterator[str]]:
    """Return what yields the uids of the pages; they are read as they are needed."""
    return lambda: (row["partner_txn_uid"] for page in pages() for row in page)


def count(pages: Pages) -> Counts:
    """Count the jobs of the pages, by outcome and partner."""
    return Counter((row["outcome"], row["partner_id"]) for page in pages() for row in page)


def put_refused(command: str, refused: Iterable[Mapping[str, str]]) -> None:
    """Say on standard error why each job was refused; exit if any was."""
    any_refused = False
    for row in refused:
        any_refused = True
        uid = shown(row["partner_txn_uid"])
        click.echo(f"kplus-cancel {command}: {uid}: {row['why']}", err=True)
    if any_refused:
        raise click.exceptions.Exit(NO)
