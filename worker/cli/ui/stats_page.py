"""What a person sees of `stats`."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from worker.cli.ui.tables import STYLES, Heading, cell, heading, indented, marked, put, table
from worker.domain.states import FINAL, Outcome, State
from worker.explain.attention import Overview, attention
from worker.explain.meanings import ENDS, STANDS
from worker.explain.text import jobs, span

Name = TypeVar("Name", State, Outcome)


def put_overview(overview: Overview) -> None:
    """Print what needs a person first, then the counts."""
    put(*_attention(overview), *_counts(overview), *_rejected(overview))


def _attention(overview: Overview) -> Iterator[RenderableType]:
    items = list(attention(overview))
    if not items:
        yield marked("Nothing needs attention.", good=True)
        return
    yield Text("Needs attention", style="bold underline")
    for item in items:
        yield marked(item.what, good=False)
        # On a line of its own, so that it can be copied whole.
        yield Text(f"    → {item.command}")


def _counts(overview: Overview) -> Iterator[RenderableType]:
    counts = overview.counts
    yield heading(f"States of {jobs(sum(counts.states.values()))}")
    yield _table(counts.states, STANDS)
    oldest = f", the oldest for {span(counts.oldest_due)}" if counts.oldest_due else ""
    yield indented(f"Due now: {counts.due}{oldest}. Attempts made: {counts.attempts}.")
    finals = sum(counts.states[state] for state in FINAL)
    yield heading(f"Outcomes of {jobs(finals)}")
    yield _table(counts.outcomes, ENDS)


def _table(counts: Mapping[str, int], meanings: Mapping[Name, str]) -> Table:
    """Return counts with what they mean; a count of zero is dim."""
    rows, texts = [], {str(name): text for name, text in meanings.items()}
    for name, count in counts.items():
        style = STYLES.get(name, "") if count else "dim"
        meaning = Text(texts[name], style="" if count else "dim")
        rows.append((Text(str(count), style=style), Text(name, style=style), meaning))
    return table(_COUNTED, rows)


def _rejected(overview: Overview) -> Iterator[RenderableType]:
    if not overview.rejected:
        return
    yield heading("Rejected messages by reason")
    rows: Iterable[tuple[int, object]] = (
        (count, cell(reason)) for reason, count in sorted(overview.rejected.items())
    )
    yield table(_COUNTED[:2], rows)
    for reason, count in sorted(overview.rejected_not_kept.items()):
        yield indented(f"{count} more of {reason} were counted, and not kept.")


_COUNTED = (Heading("", number=True), Heading(""), Heading("", whole=False))
