"""`prune`: remove what is old; a tombstone of each job stays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import click

from worker.cli.ui.confirm import ask
from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.cli.ui.params import Age
from worker.cli.ui.progress import Advance, progress
from worker.domain.states import Outcome
from worker.explain.text import jobs
from worker.store import Store

SETTLED = (
    Outcome.CANCELLED,
    Outcome.ALREADY_CANCELLED,
    Outcome.EXPIRED,
    Outcome.LAPSED,
    Outcome.PAID,
)
"""What is pruned by default. The other outcomes wait for a person: prune them by name only."""
A_YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Prunable:
    """One kind of old rows: how many there are, and how they are removed."""

    what: str
    older_than: timedelta
    count: Callable[[], int]
    remove: Callable[[Advance], int]


@click.command
@click.option("--older-than", type=Age(), help="Jobs that ended so long ago: 90d, 365d (default).")
@click.option(
    "--outcome",
    "outcomes",
    type=click.Choice([*map(str, Outcome)]),
    multiple=True,
    help="Jobs with this outcome, again for each further one; without, those that need no person.",
)
@click.option("--messages-older-than", type=Age(), help="Rejected messages last seen so long ago.")
@click.option("--actions-older-than", type=Age(), help="Records of operators' acts of so long ago.")
@click.option("--audits-older-than", type=Age(), help="What audits found so long ago.")
@click.option("--told-older-than", type=Age(), help="Events that were delivered so long ago.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@in_two_forms
def prune(  # noqa: PLR0913 - options, each by its name
    *,
    older_than: timedelta | None,
    outcomes: tuple[str, ...],
    messages_older_than: timedelta | None,
    actions_older_than: timedelta | None,
    audits_older_than: timedelta | None,
    told_older_than: timedelta | None,
    dry_run: bool,
    yes: bool,
    form: str | None,
) -> None:
    """
    Remove final jobs that ended long ago, with their attempts; a tombstone of each stays.

    A tombstone keeps uid, partner, outcome and a fingerprint of the order, for ever: the same
    order again still does nothing. Jobs that ended refused, gave_up or unknown are removed
    only if --outcome names them. With only the age of messages, actions, audits or told
    outcomes, no job is removed.
    """
    with store_of(settings_now()) as store:
        prunables = [
            *_of_records(store, messages_older_than, actions_older_than, audits_older_than),
            *_of_events(store, told_older_than),
        ]
        if older_than or outcomes or not prunables:
            chosen = map(Outcome, dict.fromkeys(outcomes)) if outcomes else SETTLED
            age = older_than or A_YEAR
            prunables = [*(_of_jobs(store, outcome, age) for outcome in chosen), *prunables]
        counts = [each.count() for each in prunables]
        if not dry_run and any(counts):
            if not yes:
                ask("prune", _summed(prunables, counts))
            with progress("pruning", sum(counts)) as advance:
                counts = [each.remove(advance) for each in prunables]
    _report(prunables, counts, dry_run=dry_run, form=form)


def _of_jobs(store: Store, outcome: Outcome, older_than: timedelta) -> Prunable:
    def remove(advance: Advance) -> int:
        removed, since = 0, None
        while True:
            batch = store.retention.jobs(outcome, older_than=older_than, since=since)
            removed, since = removed + batch.jobs, batch.next_since
            advance(batch.jobs)
            if since is None:
                return removed

    def count() -> int:
        return store.retention.count(outcome, older_than=older_than)

    return Prunable(str(outcome), older_than, count, remove)


def _of_records(
    store: Store,
    messages: timedelta | None,
    actions: timedelta | None,
    audits: timedelta | None,
) -> Iterator[Prunable]:
    retention = store.retention
    if messages is not None:
        yield _counted("rejected messages", messages, retention.count_messages, retention.messages)
    if actions is not None:
        yield _counted("operators' acts", actions, retention.count_actions, retention.actions)
    if audits is not None:
        yield _counted("audits", audits, retention.count_audits, retention.audits)


def _of_events(store: Store, older_than: timedelta | None) -> Iterator[Prunable]:
    if older_than is not None:
        yield _counted(
            "told outcomes", older_than, store.retention.count_events, store.retention.events
        )


def _counted(
    what: str, older_than: timedelta, count: Callable[..., int], batch: Callable[..., int]
) -> Prunable:
    def remove(advance: Advance) -> int:
        removed = 0
        while done := batch(older_than=older_than):
            removed += done
            advance(done)
        return removed

    return Prunable(what, older_than, lambda: count(older_than=older_than), remove)


def _summed(prunables: list[Prunable], counts: list[int]) -> str:
    """Return what would be removed: `12 jobs, 3 rejected messages`."""
    known = set(map(str, Outcome))
    ended = sum(count for each, count in zip(prunables, counts, strict=True) if each.what in known)
    parts = [jobs(ended)] if ended else []
    parts += [
        f"{count} {each.what}"
        for each, count in zip(prunables, counts, strict=True)
        if count and each.what not in known
    ]
    return ", ".join(parts)


def _report(
    prunables: list[Prunable], counts: list[int], *, dry_run: bool, form: str | None
) -> None:
    if wants_json(form):
        rows: list[dict[str, Any]] = [
            {"what": each.what, "older_than": each.older_than, "count": count}
            for each, count in zip(prunables, counts, strict=True)
        ]
        print_json({"dry_run": dry_run, "pruned": rows})
        return
    from worker.cli.ui.tables import Heading, put, table  # noqa: PLC0415 - rich is slow to load

    if not any(counts):
        put("Nothing is old enough.")
        return
    headings = (
        Heading("what"),
        Heading("older than", number=True),
        Heading("would be pruned" if dry_run else "pruned", number=True),
    )
    rows_shown = (
        (each.what, f"{each.older_than.days} days", count)
        for each, count in zip(prunables, counts, strict=True)
    )
    put(table(headings, rows_shown))
