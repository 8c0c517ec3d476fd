"""The progress of a long command: a bar on a terminal; elsewhere nothing, or some lines."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
LINE_SECONDS = 5.0
"""Seconds between two lines of progress without a terminal."""
LINES_PER_CHECK = 500
"""Lines of the file between two readings of the clock."""


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Advance]:
    """Show a bar on standard error; without a `total` it only counts."""
    if not sys.stderr.isatty():
        yield _show_nothing
        return
    from rich.console import Console  # noqa: PLC0415 - rich is slow to load
    from rich.progress import (  # noqa: PLC0415 - rich is slow to load
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


def _show_nothing(_done: int) -> None:
    """Ignore the progress: standard error is no terminal."""


class Pace:
    """How many lines were handed in, how fast, and how much of the file is left."""

    def __init__(self, total: int | None, show: Callable[["Pace"], None]) -> None:
        self.total = total
        """Bytes of the file; None if it has no size, as a pipe."""
        self.done = 0
        self.position = 0
        """Bytes of the file that were read."""
        self._show = show
        self._began = time.monotonic()

    def add(self, count: int) -> None:
        """Count lines that were handed in, and show the progress now and then."""
        self.done += count
        if self.done % LINES_PER_CHECK == 0:
            self._show(self)

    @property
    def seconds(self) -> float:
        """The seconds since the beginning."""
        return max(time.monotonic() - self._began, 1e-6)

    @property
    def rate(self) -> float:
        """Lines a second."""
        return self.done / self.seconds

    def line(self) -> str:
        """Return the progress in a line."""
        text = f"{self.done} lines, {self.rate:.0f}/s"
        if self.total and self.position:
            share = min(self.position / self.total, 1.0)
            left = self.seconds * (1 - share) / share
            text += f", {share:.0%} of the file, about {left:.0f} s left"
        return text


@contextmanager
def pace(total: int | None) -> Iterator[Pace]:
    """Show lines, rate and the time that is left: a bar on a terminal, else a line each 5 s."""
    if not sys.stderr.isatty():
        yield Pace(total, _print_lines())
        return
    from rich.console import Console  # noqa: PLC0415 - rich is slow to load
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - rich is slow to load

    columns = TextColumn("importing"), BarColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)

        def show(now: Pace) -> None:
            bar.update(task, completed=now.position, description=now.line())

        yield Pace(total, show)


def _print_lines() -> Callable[[Pace], None]:
    printed_at = time.monotonic()

    def show(now: Pace) -> None:
        nonlocal printed_at
        if time.monotonic() - printed_at >= LINE_SECONDS:
            printed_at = time.monotonic()
            sys.stderr.write(f"{now.line()}\n")

    return show
