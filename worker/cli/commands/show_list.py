"""`show` and `list`: one job with its evidence, and jobs by where they stand."""

from dataclasses import replace
from datetime import UTC, datetime

import click

from worker.cli.commands.pruned import show_pruned
from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.filters import OPTIONS, narrowed_by
from worker.cli.ui.output import in_two_forms, limited, print_json, up_to, wants_json
from worker.cli.ui.params import Words
from worker.explain.events import event_document
from worker.explain.job import PrunedJob, read_job
from worker.explain.partner import resting_partners
from worker.store import JobFilter


@click.command
@click.argument("uid", type=Words())
@in_two_forms
def show(*, uid: str, form: str | None) -> None:
    """
    Show one job: where it stands, what happens next and when, and every attempt.

    UID is its partnerTxnUid. All times are UTC.
    """
    settings = settings_now()
    with store_of(settings) as store:
        found = read_job(uid, store=store, settings=settings)
    if isinstance(found, PrunedJob):
        show_pruned(found.row, form=form)
        return
    following = found.following()
    if wants_json(form):
        evidence = {
            "cancel_attempts": found.file.attempts,
            "token_statuses": found.file.tokens,
            "named_with": found.file.same_token,
            "outbox": [event_document(row) for row in found.events],
        }
        print_json({**found.file.job, "next": following, **evidence})
        return
    from worker.cli.ui import job_page  # noqa: PLC0415 - rich is slow to load, and JSON needs none

    job_page.put_job(found, following)


@click.command("list")
@narrowed_by(*OPTIONS)
@click.option("--unseen", is_flag=True, help="Only ends that a person has to see and nobody has.")
@click.option("--drifted", is_flag=True, help="Only jobs whose end an audit contradicts.")
@limited
@in_two_forms
def list_jobs(
    *, wanted: JobFilter, unseen: bool, drifted: bool, limit: int, form: str | None
) -> None:
    """List jobs, the last changed first. Every filter narrows the list."""
    wanted = replace(wanted, unseen=unseen, drifted=drifted)
    with store_of(settings_now()) as store:
        rows = store.reports.jobs(wanted, most=limit + 1)
        resting = resting_partners(store)
    with up_to(limit, rows) as shown:
        if wants_json(form):
            print_json(shown)
        else:
            from worker.cli.ui import job_page  # noqa: PLC0415 - rich is slow to load, JSON needs none

            job_page.put_jobs(shown, resting, now=datetime.now(UTC))
