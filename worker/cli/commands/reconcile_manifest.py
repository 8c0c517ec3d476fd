"""`reconcile --manifest`: the order system's list and the table, compared both ways."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO, TextIO

import click

from worker.cli.ui.confirm import ask
from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.entries import entries
from worker.cli.ui.exit_codes import NO
from worker.cli.ui.output import print_json, wants_json
from worker.cli.ui.progress import progress
from worker.config.settings import Settings
from worker.explain.text import clock, jobs, shown
from worker.jobs.comparison import Comparison, Difference, Kind
from worker.jobs.staging import staging
from worker.store import Store

TOLD = {
    Kind.REFUSED: "lines that cannot be read",
    Kind.NOT_HERE: "in the manifest, unknown here",
    Kind.OTHER_CONTENT: "known here with other content, which stands",
    Kind.OTHER_OUTCOME: "final with another outcome than expected",
    Kind.NOT_IN_MANIFEST: "here, but not in the manifest",
    Kind.NOT_FINAL: "not final yet: no difference",
}


@dataclass(frozen=True, slots=True)
class Window:
    """The time of acceptance in which jobs must be in the manifest; none where it is unset."""

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """What is to be compared, and what becomes of it."""

    manifest: BinaryIO
    window: Window
    enqueue: bool = False
    dry_run: bool = False
    yes: bool = False
    limit: int = 20
    details: TextIO | None = None


@dataclass(slots=True)
class Examples:
    """The first few differences of each kind; all of them go to the file, if there is one."""

    limit: int
    details: TextIO | None
    kept: list[Difference] = field(default_factory=list)
    _seen: Counter[Kind] = field(default_factory=Counter)

    def tell(self, difference: Difference) -> None:
        """Hear of a difference."""
        if self.details is not None:
            self.details.write(json.dumps(_plain(difference)) + "\n")
        self._seen[difference.kind] += 1
        if self._seen[difference.kind] <= self.limit:
            self.kept.append(difference)


def compare_manifest(wish: ComparisonRequest, *, form: str | None) -> None:
    """Compare, accept what is missing where that is wanted, and report."""
    settings = settings_now()
    examples = Examples(wish.limit, wish.details)
    with store_of(settings) as store, _compared(wish, store, settings, examples) as agreement:
        missing = agreement.counts[Kind.NOT_HERE]
        if wish.enqueue and missing and not wish.dry_run:
            if not wish.yes:
                ask("enqueue", jobs(missing))
            with progress("accepting", missing) as advance:
                agreement.accept(advance)
        _look_beyond(agreement, wish.window)
    _report(agreement, wish, examples, form=form)
    if not agreement.agrees:
        raise click.exceptions.Exit(NO)


@contextmanager
def _compared(
    wish: ComparisonRequest, store: Store, settings: Settings, examples: Examples
) -> Iterator[Comparison]:
    with staging() as staged:
        agreement = Comparison(store, staged, examples.tell)
        with progress("reading", None) as advance:
            agreement.stage(entries(wish.manifest, settings), _in_hundreds(advance))
        with progress("comparing", agreement.orders) as advance:
            agreement.compare(advance)
        yield agreement


def _in_hundreds(advance: Callable[[int], None]) -> Callable[[int], None]:
    """A bar that moves a million times is slower than what it shows."""
    waiting = 0

    def later(done: int) -> None:
        nonlocal waiting
        waiting += done
        if waiting >= 100:  # noqa: PLR2004 - about as often as an eye can see
            advance(waiting)
            waiting = 0

    return later


def _look_beyond(agreement: Comparison, window: Window) -> None:
    if window.since is None:
        return
    until = window.until or datetime.now(UTC)
    with progress("looking beyond", None) as advance:
        agreement.find_unlisted(since=window.since, until=until, advance=advance)


def _report(
    agreement: Comparison, wish: ComparisonRequest, examples: Examples, *, form: str | None
) -> None:
    if wants_json(form):
        print_json(_document(agreement, wish, examples))
        return
    from worker.cli.ui.tables import put  # noqa: PLC0415 - rich is slow to load

    put(*_page(agreement, wish, examples))


def _document(agreement: Comparison, wish: ComparisonRequest, examples: Examples) -> dict[str, Any]:
    counts: dict[str, int | None] = {str(kind): agreement.counts[kind] for kind in Kind}
    if wish.window.since is None:
        counts[Kind.NOT_IN_MANIFEST] = None
    return {
        "agrees": agreement.agrees,
        "orders": agreement.orders,
        "repeated": agreement.repeated,
        "accepted": agreement.accepted,
        "outcomes": {str(outcome): count for outcome, count in agreement.outcomes.items()},
        "counts": counts,
        "since": wish.window.since,
        "until": wish.window.until,
        "examples": [_plain(each) for each in examples.kept],
    }


def _plain(difference: Difference) -> dict[str, Any]:
    """Return what is known of a difference, without what is not."""
    fields = {name: getattr(difference, name) for name in Difference.__slots__}
    return {name: value for name, value in fields.items() if value is not None}


def _page(agreement: Comparison, wish: ComparisonRequest, examples: Examples) -> Iterator[Any]:
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import Heading, heading, listed, marked, table  # noqa: PLC0415 - rich is slow to load

    again = f"; lines that say one again: {agreement.repeated}" if agreement.repeated else ""
    yield Text(f"Orders in the manifest: {agreement.orders}{again}.")
    outcomes = sorted(agreement.outcomes.items())
    rows = [(count, f"final here, outcome {outcome}") for outcome, count in outcomes]
    if agreement.accepted:
        rows.append((agreement.accepted, "accepted now; the sweep of any worker takes them up"))
    rows += [(agreement.counts[kind], TOLD[kind]) for kind in Kind if agreement.counts[kind]]
    yield table((Heading("", number=True), Heading("", whole=False)), rows)
    for kind in Kind:
        told = [_told(each) for each in examples.kept if each.kind is kind]
        if told:
            yield heading(_titled(kind, len(told), agreement))
            yield listed(told)
    yield Text("")
    if wish.window.since is None:
        yield Text("Jobs that are not in the manifest were not looked for: say --since for that.")
    else:
        until = wish.window.until
        end = f"to {clock(until)} UTC" if until else "until now"
        yield Text(f"Looked for others accepted from {clock(wish.window.since)} UTC {end}.")
    good = agreement.agrees
    yield marked("The two agree." if good else "The two differ.", good=good)


def _titled(kind: Kind, told: int, agreement: Comparison) -> str:
    """Return what the examples below show, and whether there are more of them."""
    all_of_them = agreement.counts[kind] + (agreement.accepted if kind is Kind.NOT_HERE else 0)
    accepted = kind is Kind.NOT_HERE and agreement.accepted
    title = "Were unknown here, accepted now" if accepted else TOLD[kind].capitalize()
    return title if told >= all_of_them else f"{title}, the first {told}"


def _told(each: Difference) -> str:
    """Return a difference in a line."""
    where = f"line {each.line}: " if each.line is not None else ""
    stands = ", ".join(
        part
        for part in (
            each.state,
            f"outcome {each.outcome}" if each.outcome else None,
            f"expected {each.expected}" if each.expected else None,
            shown(each.detail) if each.detail else None,
        )
        if part
    )
    uid = shown(each.partner_txn_uid) if each.partner_txn_uid else ""
    told = ": ".join(filter(None, (uid, stands)))
    return f"{where}{told}"
