"""What a person sees of `stats`."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from worker.cli.ui.tables import STYLES, Heading, cell, heading, indented, marked, put, table
from worker.domain.states import FINAL
from worker.explain.attention import Need, Overview
from worker.explain.meanings import ENDS, STANDS
from worker.explain.text import jobs, span


def put_picture(picture: Overview, needs: Sequence[Need]) -> None:
    """Print what needs a person first, then the counts."""
    put(*_needs(needs), *_counts(picture), *_rejected(picture))


def _needs(needs: Sequence[Need]) -> Iterator[Any]:
    if not needs:
        yield marked("Nothing needs attention.", good=True)
        return
    yield Text("Needs attention", style="bold underline")
    for need in needs:
        yield marked(need.what, good=False)
        # On a line of its own, so that it can be copied whole.
        yield Text(f"    → {need.command}")


def _counts(picture: Overview) -> Iterator[Any]:
    counts = picture.counts
    yield heading(f"States of {jobs(sum(counts.states.values()))}")
    yield _table(counts.states, STANDS)
    oldest = f", the oldest for {span(counts.oldest_due)}" if counts.oldest_due else ""
    yield indented(f"Due now: {counts.due}{oldest}. Attempts made: {counts.attempts}.")
    finals = sum(counts.states[state] for state in FINAL)
    yield heading(f"Outcomes of {jobs(finals)}")
    yield _table(counts.outcomes, ENDS)


def _table(counts: Any, meanings: Any) -> Table:
    """Return counts with what they mean; a count of nothing stands back."""
    rows = []
    for name, count in counts.items():
        style = STYLES.get(name, "") if count else "dim"
        meaning = Text(meanings[name], style="" if count else "dim")
        rows.append((Text(str(count), style=style), Text(name, style=style), meaning))
    return table((Heading("", number=True), Heading(""), Heading("", whole=False)), rows)


def _rejected(picture: Overview) -> Iterator[Any]:
    if not picture.rejected:
        return
    yield heading("Rejected messages by reason")
    rows = [(count, cell(reason)) for reason, count in sorted(picture.rejected.items())]
    yield table((Heading("", number=True), Heading("")), rows)
