"""Tables for a person, on a terminal or in a pipe. Only loaded where a table is wanted."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import click
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from worker.domain.states import Outcome, State
from worker.explain.text import shown

PIPE_WIDTH = 10_000
"""In a pipe lines are not broken."""
MARK = {True: "✓", False: "✗"}
STYLES: dict[str, str] = {
    State.PENDING: "cyan",
    State.IN_FLIGHT: "cyan",
    State.RETRYABLE: "yellow",
    State.IN_DOUBT: "magenta",
    State.SUCCEEDED: "green",
    State.REFUSED: "yellow",
    State.EXHAUSTED: "red",
    Outcome.PAID: "bold yellow",
    Outcome.GAVE_UP: "bold red",
    Outcome.LAPSED: "red",
    Outcome.UNKNOWN: "bold red",
}


@dataclass(frozen=True, slots=True)
class Heading:
    """A column: its title, and whether it holds numbers. `whole` columns are never broken."""

    title: str
    number: bool = False
    whole: bool = True


def screen() -> Console:
    """Return the terminal; without one, a console without colours and line breaks."""
    terminal = sys.stdout.isatty()
    return Console(width=None if terminal else PIPE_WIDTH, no_color=not terminal, highlight=False)


def fits(made: Table) -> bool:
    """Say whether a table can be shown without breaking a cell."""
    # A console measures no table wider than itself.
    return Console(width=PIPE_WIDTH).measure(made).maximum <= screen().width


def put(*parts: RenderableType) -> None:
    """Print, all at once."""
    console = screen()
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    lines = captured.get().splitlines()
    click.echo("\n".join(line.rstrip() for line in lines))


def table(headings: Sequence[Heading], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table; its cells are never read as markup, since they may hold texts of the bank."""
    titled = any(heading.title for heading in headings)
    made = Table(
        box=None, pad_edge=False, show_header=titled, header_style="bold", padding=(0, 2, 0, 0)
    )
    for heading in headings:
        made.add_column(
            heading.title,
            justify="right" if heading.number else "left",
            no_wrap=heading.whole,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*map(cell, row))
    return made


def facts(pairs: Iterable[tuple[str, object]]) -> Table:
    """Return names and values, one pair a line."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True, style="bold")
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(name, cell(value))
    return made


def cell(value: object) -> RenderableType:
    """Return a value as a cell; states and outcomes have colours."""
    if isinstance(value, Text | Table):
        return value
    return Text(shown(value), style=STYLES.get(value, "") if isinstance(value, str) else "")


def heading(text: str) -> Text:
    """Return a section's title."""
    return Text(f"\n{text}", style="bold underline" if sys.stdout.isatty() else "")


def indented(text: str, *, style: str = "") -> Padding:
    """Return a sentence, indented below its title."""
    return Padding(Text(text, style=style), (0, 0, 0, 2))


def listed(sentences: Iterable[str]) -> Table:
    """Return sentences as a list; a second line is indented like the first."""
    made = Table.grid(padding=(0, 1, 0, 0))
    for sentence in sentences:
        made.add_row(Text(" -"), Text(sentence))
    return made


def marked(text: str, *, good: bool) -> Table:
    """Return a sentence behind its mark; a second line is indented like the first."""
    made = Table.grid(padding=(0, 1, 0, 0))
    made.add_row(Text(MARK[good], style="green" if good else "bold red"), Text(text))
    return made
