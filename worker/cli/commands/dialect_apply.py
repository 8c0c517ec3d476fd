"""`dialect apply`: jobs in doubt end by stored answers that the dialect understands now."""

from collections.abc import Iterator
from itertools import islice

import click

from worker.cli.ui.confirm import ask, put_counts
from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.operator import operator
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.cli.ui.params import Reason
from worker.config.dialect_file import load_dialect
from worker.domain.dialect import Dialect
from worker.domain.rejudgement import conclusion_of
from worker.explain.forecast import Forecast, count_rows
from worker.explain.text import jobs, shown
from worker.store import Store, Verdict

NONE = "No job in doubt has an answer that says, in this dialect, what became of its token."


@click.command("apply")
@click.option("--reason", type=Reason(), required=True, help="Why: recorded with who acts.")
@click.option("--limit", type=click.IntRange(1), help="End at most so many jobs.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@in_two_forms
def apply_dialect(
    *, reason: str, limit: int | None, dry_run: bool, yes: bool, form: str | None
) -> None:
    """
    End jobs in doubt by stored answers that are understood now.

    By the dialect that KPLUS_DIALECT_FILE names. Only cancelled, paid and expired end a job:
    after doubt a refusal is not believed. A job whose answers contradict each other,
    or that a worker claims meanwhile, is left as it is. The attempts stay as they are.
    """
    settings = settings_now()
    dialect = load_dialect(settings.dialect_file)
    file = click.format_filename(settings.dialect_file) if settings.dialect_file else None
    with store_of(settings) as store:
        forecast = Forecast()
        for _ in _ending(store, dialect, limit, forecast):
            pass
        total = forecast.ends.total()
        if not wants_json(form):
            _put_dialect(file)
            put_counts(forecast.ends, none=NONE)
        if total and not dry_run and not yes:
            ask("end", jobs(total))
        ended = total
        if not dry_run:
            # Never more jobs than were shown.
            uids = _ending(store, dialect, total, Forecast())
            results = (
                store.actions.rejudge(uid, dialect, who=operator(), reason=reason) for uid in uids
            )
            ended = sum(result.verdict is Verdict.DONE for result in results)
    if wants_json(form):
        print_json(
            {
                "dry_run": dry_run,
                "dialect_file": file,
                "ended": ended,
                "moved_on": total - ended,
                "counts": count_rows(forecast.ends),
                "contradicting": forecast.contradictions,
            }
        )
        return
    for line in forecast.applied(ended, dry_run=dry_run):
        click.echo(line)


def _ending(store: Store, dialect: Dialect, most: int | None, forecast: Forecast) -> Iterator[str]:
    """Yield the uids of jobs in doubt that end, at most so many; `forecast` counts them."""

    def found() -> Iterator[str]:
        for page in store.conversations.all(in_doubt=True):
            for job in page:
                conclusion = conclusion_of(job.conversations, dialect)
                forecast.conclude(job, conclusion)
                if conclusion.outcome is not None:
                    yield job.uid

    return islice(found(), most)


def _put_dialect(file: str | None) -> None:
    named = shown(file) if file else "nothing: this is the built-in one"
    click.echo(f"By the dialect that KPLUS_DIALECT_FILE names ({named}):")
