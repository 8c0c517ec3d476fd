"""`seen`: record which ends of jobs a person has seen, so that only what is new alarms."""

from collections import Counter
from dataclasses import replace

import click

from worker.cli.ui.bulk import put_refused
from worker.cli.ui.confirm import ask, put_counts
from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.filters import OPTIONS, flags, narrowed_by, one_way
from worker.cli.ui.operator import operator
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.cli.ui.params import Reason, Words
from worker.domain.states import ALARMING, Outcome
from worker.explain.forecast import Counts, count_rows
from worker.explain.refusals import ActionSummary
from worker.explain.text import jobs
from worker.store import EVERY_JOB, JobFilter, Store

NARROWING = tuple(name for name in OPTIONS if name not in {"state", "outcome"})
BATCH = 500


@click.command
@click.argument("uids", type=Words(), nargs=-1, metavar="[UID]...")
@click.option(
    "--outcome",
    type=click.Choice([*map(str, ALARMING)]),
    help="All that ended so and that nobody has seen, instead of named ones.",
)
@click.option("--drifted", is_flag=True, help="All whose end an audit contradicts, unseen so far.")
@narrowed_by(*NARROWING, only="With --outcome or --drifted: ")
@click.option("--reason", type=Reason(), required=True, help="Why: recorded with who has seen it.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="With --outcome or --drifted: do it without asking.")
@in_two_forms
def seen(  # noqa: PLR0913 - options, each by its name
    *,
    uids: tuple[str, ...],
    outcome: str | None,
    drifted: bool,
    wanted: JobFilter,
    reason: str,
    dry_run: bool,
    yes: bool,
    form: str | None,
) -> None:
    """
    Record that the ends of jobs were seen: they need attention no more, until they end anew.

    For jobs that ended paid, unknown, gave_up, refused or lapsed, and for those whose end an
    audit contradicts. The jobs stay as they are. The same again changes nothing. Exit code 1
    if there is nothing to see of any named job.
    """
    options = f"--outcome or --drifted ({flags(NARROWING)})"
    one_way(uids, outcome, drifted, narrowed=wanted != EVERY_JOB, options=options)
    wanted = replace(wanted, outcome=Outcome(outcome) if outcome else None, drifted=drifted)
    summary, counts = ActionSummary(), Counts()
    with store_of(settings_now()) as store:
        if uids:
            _see_named(store, list(dict.fromkeys(uids)), summary, reason=reason, dry_run=dry_run)
        else:
            counts = Counter(store.actions.count_unseen(wanted))
            if not wants_json(form):
                put_counts(counts, none="There is nothing that nobody has seen.")
            if counts and not dry_run and not yes:
                ask("mark as seen", jobs(counts.total()))
            marked = counts.total() if dry_run else _see_all(store, wanted, reason=reason)
            summary.done.update({str(outcome or "drifted"): marked} if marked else {})
    _report(summary, counts, dry_run=dry_run, form=form)
    if uids and not wants_json(form) and not (summary.done or summary.refused):
        click.echo("This was seen before.")
    put_refused("seen", summary.refused)


def _see_named(
    store: Store, uids: list[str], summary: ActionSummary, *, reason: str, dry_run: bool
) -> None:
    if dry_run:
        results = store.actions.judge_seen(uids)
    else:
        results = store.actions.see(uids, who=operator(), reason=reason)
    for result in results:
        summary.add(result)


def _see_all(store: Store, wanted: JobFilter, *, reason: str) -> int:
    """Mark batch after batch; what others mark or requeue meanwhile is theirs."""
    total, who = 0, operator()
    while marked := store.actions.see_next(wanted, most=BATCH, who=who, reason=reason):
        total += marked
    return total


def _report(summary: ActionSummary, counts: Counts, *, dry_run: bool, form: str | None) -> None:
    if wants_json(form):
        print_json(
            {
                "dry_run": dry_run,
                "seen": summary.done.total(),
                "refused": summary.refused,
                "counts": count_rows(counts),
            }
        )
    elif summary.done or summary.refused:
        click.echo(summary.sentence("marked as seen", dry_run=dry_run))
