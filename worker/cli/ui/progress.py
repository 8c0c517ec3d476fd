"""How far a long command has come: a bar on a terminal; elsewhere nothing, or some lines."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
EVERY = 5.0
"""Seconds between two lines where nobody watches a bar."""
LOOKS = 500
"""Lines between two looks at the clock."""


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Advance]:
    """Show a bar on standard error while it lasts; with no `total` it counts."""
    if not sys.stderr.isatty():
        yield _unseen
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


def _unseen(_done: int) -> None:
    """Nobody watches."""


class Pace:
    """How many lines were handed in, how fast, and how much of the file is left."""

    def __init__(self, total: int | None, show: Callable[["Pace"], None]) -> None:
        self.total = total
        """Bytes of the file; None where nobody knows."""
        self.done = self.position = 0
        self._show = show
        self._began = time.monotonic()

    def at(self, position: int) -> None:
        """Hear how many bytes of the file were read."""
        self.position = position

    def lines(self, count: int) -> None:
        """Hear of lines that were handed in."""
        self.done += count
        if self.done % LOOKS == 0:
            self._show(self)

    @property
    def seconds(self) -> float:
        """The seconds since the beginning."""
        return max(time.monotonic() - self._began, 1e-6)

    @property
    def rate(self) -> float:
        """Lines a second."""
        return self.done / self.seconds

    def told(self) -> str:
        """Return all of it in a line."""
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
        yield Pace(total, _now_and_then())
        return
    from rich.console import Console  # noqa: PLC0415 - rich is slow to load
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - rich is slow to load

    columns = TextColumn("importing"), BarColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)

        def show(now: Pace) -> None:
            bar.update(task, completed=now.position, description=now.told())

        yield Pace(total, show)


def _now_and_then() -> Callable[[Pace], None]:
    said = time.monotonic()

    def show(now: Pace) -> None:
        nonlocal said
        if time.monotonic() - said >= EVERY:
            said = time.monotonic()
            sys.stderr.write(f"{now.told()}\n")

    return show
