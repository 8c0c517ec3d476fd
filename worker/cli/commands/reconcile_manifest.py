"""`reconcile --manifest`: the order system's list and the table, compared both ways."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import click

from worker.cli.ui.confirm import ask
from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.entries import entries
from worker.cli.ui.exit_codes import NO
from worker.cli.ui.order_warnings import put_warnings, warning_documents
from worker.cli.ui.output import print_json, wants_json
from worker.cli.ui.progress import progress
from worker.config.settings import Settings
from worker.domain.differences import Difference, DifferenceKind
from worker.explain.comparison import (
    DIFFERENCES,
    difference_document,
    difference_line,
    examples_title,
)
from worker.explain.text import clock, jobs
from worker.jobs.comparison import Comparison
from worker.jobs.staging import staging
from worker.store import Store

if TYPE_CHECKING:
    from rich.console import RenderableType

BAR_STEP = 100
"""Lines between two moves of the progress bar: moving it for each is slower than the reading."""


@dataclass(frozen=True, slots=True)
class Window:
    """The time of acceptance in which jobs must be in the manifest; no `since`: no time."""

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """What is compared, and what is done with the result."""

    manifest: BinaryIO
    window: Window
    enqueue: bool = False
    dry_run: bool = False
    yes: bool = False
    limit: int = 20
    details: TextIO | None = None


@dataclass(slots=True)
class Examples:
    """The first `limit` differences of each kind; `details` is a file that gets all of them."""

    limit: int
    details: TextIO | None
    kept: list[Difference] = field(default_factory=list)
    _counts: Counter[DifferenceKind] = field(default_factory=Counter)

    def add(self, difference: Difference) -> None:
        """Count a difference, and keep it if it is one of the first."""
        if self.details is not None:
            self.details.write(json.dumps(difference_document(difference)) + "\n")
        self._counts[difference.kind] += 1
        if self._counts[difference.kind] <= self.limit:
            self.kept.append(difference)


def compare_manifest(request: ComparisonRequest, *, form: str | None) -> None:
    """Compare, accept what is missing if that is wanted, and report."""
    settings = settings_now()
    examples = Examples(request.limit, request.details)
    with store_of(settings) as store, _compared(request, store, settings, examples) as comparison:
        missing = comparison.counts[DifferenceKind.NOT_HERE]
        if request.enqueue and missing and not request.dry_run:
            if not request.yes:
                ask("enqueue", jobs(missing))
            with progress("accepting", missing) as advance:
                comparison.accept(advance)
        _look_beyond(comparison, request.window)
    _report(comparison, request, examples, form=form)
    if not comparison.agrees:
        raise click.exceptions.Exit(NO)


@contextmanager
def _compared(
    request: ComparisonRequest, store: Store, settings: Settings, examples: Examples
) -> Iterator[Comparison]:
    with staging() as staged:
        comparison = Comparison(
            store,
            staged,
            examples.add,
            stranger=settings.roster().stranger,
            on_stranger=settings.unknown_partner,
        )
        with progress("reading", None) as advance:
            comparison.stage(entries(request.manifest, settings), _in_steps(advance))
        with progress("comparing", comparison.orders) as advance:
            comparison.compare(advance)
        yield comparison


def _in_steps(advance: Callable[[int], None]) -> Callable[[int], None]:
    waiting = 0

    def later(done: int) -> None:
        nonlocal waiting
        waiting += done
        if waiting >= BAR_STEP:
            advance(waiting)
            waiting = 0

    return later


def _look_beyond(comparison: Comparison, window: Window) -> None:
    if window.since is None:
        return
    until = window.until or datetime.now(UTC)
    with progress("looking beyond", None) as advance:
        comparison.find_unlisted(since=window.since, until=until, advance=advance)


def _report(
    comparison: Comparison, request: ComparisonRequest, examples: Examples, *, form: str | None
) -> None:
    if wants_json(form):
        print_json(_document(comparison, request, examples))
        return
    from worker.cli.ui.tables import put  # noqa: PLC0415 - rich is slow to load

    put(*_page(comparison, request, examples))
    put_warnings(comparison.warnings)


def _document(
    comparison: Comparison, request: ComparisonRequest, examples: Examples
) -> dict[str, Any]:
    counts: dict[str, int | None] = {str(kind): comparison.counts[kind] for kind in DifferenceKind}
    if request.window.since is None:
        counts[DifferenceKind.NOT_IN_MANIFEST] = None
    return {
        "agrees": comparison.agrees,
        "orders": comparison.orders,
        "repeated": comparison.repeated,
        "accepted": comparison.accepted,
        "warnings": warning_documents(comparison.warnings),
        "outcomes": {str(outcome): count for outcome, count in comparison.outcomes.items()},
        "counts": counts,
        "since": request.window.since,
        "until": request.window.until,
        "examples": [difference_document(each) for each in examples.kept],
    }


def _page(
    comparison: Comparison, request: ComparisonRequest, examples: Examples
) -> "Iterator[RenderableType]":
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import Heading, heading, listed, marked, table  # noqa: PLC0415 - rich is slow to load

    again = f"; lines that say one again: {comparison.repeated}" if comparison.repeated else ""
    yield Text(f"Orders in the manifest: {comparison.orders}{again}.")
    yield table((Heading("", number=True), Heading("", whole=False)), _count_rows(comparison))
    for kind in DifferenceKind:
        lines = [difference_line(each) for each in examples.kept if each.kind is kind]
        if lines:
            counts = {"found": comparison.counts[kind], "accepted": comparison.accepted}
            yield heading(examples_title(kind, listed=len(lines), **counts))
            yield listed(lines)
    yield Text("")
    window = request.window
    if window.since is None:
        yield Text("Jobs that are not in the manifest were not looked for: say --since for that.")
    else:
        end = f"to {clock(window.until)} UTC" if window.until else "until now"
        yield Text(f"Looked for others accepted from {clock(window.since)} UTC {end}.")
    good = comparison.agrees
    yield marked("The two agree." if good else "The two differ.", good=good)


def _count_rows(comparison: Comparison) -> Iterator[tuple[int, str]]:
    for outcome, count in sorted(comparison.outcomes.items()):
        yield count, f"final here, outcome {outcome}"
    if comparison.accepted:
        yield comparison.accepted, "accepted now; the sweep of any worker takes them up"
    for kind in DifferenceKind:
        if comparison.counts[kind]:
            yield comparison.counts[kind], DIFFERENCES[kind]
