"""`dialect apply`: jobs in doubt end by stored answers that the dialect understands now."""

from collections.abc import Iterator
from itertools import islice

import click

from worker.cli.ui.confirm import as_rows, ask, put_counts
from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.operator import operator
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.cli.ui.params import Reason
from worker.config.dialect_file import load_dialect
from worker.domain.dialect import Dialect
from worker.domain.rejudgement import conclusion_of
from worker.explain.forecast import Forecast, stays
from worker.explain.text import jobs, shown
from worker.store import Store, Verdict

NONE = "No job in doubt has an answer that says, in this dialect, what became of its token."


@click.command("apply")
@click.option("--reason", type=Reason(), required=True, help="Why: recorded with who acts.")
@click.option("--limit", type=click.IntRange(1), help="End at most so many jobs.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@in_two_forms
def rejudge(*, reason: str, limit: int | None, dry_run: bool, yes: bool, form: str | None) -> None:
    """
    End jobs in doubt by stored answers that are understood now.

    By the dialect that KPLUS_DIALECT_FILE names. Only cancelled, paid and expired end a job:
    after doubt a refusal is not believed. A job whose answers contradict each other,
    or that a worker takes up meanwhile, is left as it is. What was heard stays.
    """
    settings = settings_now()
    dialect = load_dialect(settings.dialect_file)
    file = click.format_filename(settings.dialect_file) if settings.dialect_file else None
    with store_of(settings) as store:
        forecast = Forecast()
        for _ in _clear(store, dialect, limit, forecast):
            pass
        total = forecast.ends.total()
        if not wants_json(form):
            _put_dialect(file)
            put_counts(forecast.ends, none=NONE)
        if total and not dry_run and not yes:
            ask("end", jobs(total))
        ended = total
        if not dry_run:
            # Never more jobs than were told of.
            uids = _clear(store, dialect, total, Forecast())
            acts = (store.actions.rejudge(u, dialect, who=operator(), reason=reason) for u in uids)
            ended = sum(act.verdict is Verdict.DONE for act in acts)
    if wants_json(form):
        print_json(
            {
                "dry_run": dry_run,
                "dialect_file": file,
                "ended": ended,
                "moved_on": total - ended,
                "counts": as_rows(forecast.ends),
                "contradicting": forecast.contradictions,
            }
        )
        return
    for line in _told(forecast, ended, dry_run=dry_run):
        click.echo(line)


def _clear(store: Store, dialect: Dialect, most: int | None, forecast: Forecast) -> Iterator[str]:
    """Return the uids of jobs in doubt that end, at most so many; `forecast` counts them."""

    def found() -> Iterator[str]:
        for page in store.conversations.all(in_doubt=True):
            for told in page:
                what = conclusion_of(told.conversations, dialect)
                forecast.conclude(told, what)
                if what.outcome is not None:
                    yield told.uid

    return islice(found(), most)


def _put_dialect(file: str | None) -> None:
    named = shown(file) if file else "nothing: this is the built-in one"
    click.echo(f"By the dialect that KPLUS_DIALECT_FILE names ({named}):")


def _told(forecast: Forecast, ended: int, *, dry_run: bool) -> Iterator[str]:
    total = forecast.ends.total()
    if total:
        moved_on = f"; {jobs(total - ended)} had moved on meanwhile" if ended < total else ""
        yield f"{jobs(ended)} {'would end' if dry_run else 'ended'}{moved_on}."
    yield from stays(forecast.contradictions)
