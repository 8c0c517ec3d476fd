"""`discard`: end jobs that wait and that nobody can serve."""

from functools import partial

import click

from worker.cli.ui.bulk import choose, put_refused
from worker.cli.ui.confirm import usage
from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.filters import OPTIONS, flags, narrowed_by, one_way
from worker.cli.ui.operator import operator
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.cli.ui.params import Reason, Words
from worker.domain.states import FINAL
from worker.explain.forecast import Counts, count_rows
from worker.explain.refusals import ActionSummary
from worker.store import EVERY_JOB, JobFilter, RequeueResult

NARROWING = tuple(name for name in OPTIONS if name != "outcome")


@click.command
@click.argument("uids", type=Words(), nargs=-1, metavar="[UID]...")
@narrowed_by(*NARROWING, only="All that are not final, instead of named ones: ")
@click.option("--limit", type=click.IntRange(1), help="With such a filter: at most so many.")
@click.option("--reason", type=Reason(), required=True, help="Why: recorded with who acts.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="With a filter: do it without asking.")
@in_two_forms
def discard(  # noqa: PLR0913 - options, each by its name
    *,
    uids: tuple[str, ...],
    wanted: JobFilter,
    limit: int | None,
    reason: str,
    dry_run: bool,
    yes: bool,
    form: str | None,
) -> None:
    """
    End jobs that nobody can serve: those named, or all that a filter chooses.

    They end as gave_up; as lapsed past the token's expiry; as unknown if they were ever in
    doubt. The order system is told, as of every end. A job that a worker asks the bank about
    now is refused, and so is a final one. Exit code 1 if any job is refused.
    """
    options = f"a filter ({flags(NARROWING)})"
    one_way(uids, wanted != EVERY_JOB, narrowed=limit is not None, options=options)
    if wanted.state in FINAL:
        raise usage(f"--state: a job that is {wanted.state} has ended already")
    with store_of(settings_now()) as store:
        pages = partial(store.reports.unfinished, wanted, most=limit)
        sure = dry_run or yes
        chosen, counts = choose(uids, pages, act="discard", sure=sure, form=form)

        def act(uid: str) -> RequeueResult:
            if dry_run:
                return store.actions.judge_discard(uid)
            return store.actions.discard(uid, who=operator(), reason=reason)

        summary = ActionSummary()
        for uid in chosen():
            summary.add(act(uid))
    _report(summary, counts, dry_run=dry_run, form=form)


def _report(summary: ActionSummary, counts: Counts, *, dry_run: bool, form: str | None) -> None:
    if wants_json(form):
        print_json(
            {
                "dry_run": dry_run,
                "discarded": summary.done.total(),
                "outcomes": summary.done,
                "refused": summary.refused,
                "counts": count_rows(counts),
            }
        )
    elif summary.done or summary.refused:
        click.echo(summary.sentence("discarded", dry_run=dry_run))
    put_refused("discard", summary.refused)
