"""`show` and `list`: one job with its evidence, and jobs by where they stand."""

from datetime import UTC, datetime
from typing import Any

import click

from worker.cli.commands.pruned import show_left
from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.events import plain
from worker.cli.ui.output import in_two_forms, limited, print_json, up_to, wants_json
from worker.cli.ui.params import Since, Words
from worker.domain.partners import PartnerMode
from worker.domain.states import Outcome, State
from worker.explain.job import PrunedJob, read_job
from worker.explain.meanings import ENDS
from worker.explain.next_steps import next_steps
from worker.store import Store


def resting(store: Store) -> dict[str, dict[str, Any]]:
    """Return the partners that take no calls now, by id."""
    return {
        row.partner_id: row._asdict()
        for row in store.partners.all()
        if row.mode != PartnerMode.ACTIVE
    }


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
        show_left(found.row, form=form)
        return
    ahead = next_steps(found.matter)
    commands = [f"{act.what}: {act.command}" for act in ahead.acts if act.command]
    outcome = found.file.job["outcome"]
    ends = [ENDS[Outcome(outcome)]] if outcome else []
    following = [*ends, *ahead.next, *commands]
    if wants_json(form):
        evidence = {
            "cancel_attempts": found.file.attempts,
            "token_statuses": found.file.tokens,
            "outbox": [plain(row) for row in found.events],
        }
        print_json({**found.file.job, "next": following, **evidence})
        return
    from worker.cli.ui import job_page  # noqa: PLC0415 - rich is slow to load, and JSON needs none

    job_page.put_job(found, following)


@click.command("list")
@click.option("--state", type=click.Choice([*map(str, State)]), help="Only jobs in this state.")
@click.option(
    "--outcome", type=click.Choice([*map(str, Outcome)]), help="Only jobs with this outcome."
)
@click.option("--partner", type=Words(), metavar="ID", help="Only jobs of this partner.")
@click.option("--since", type=Since(), help="Only jobs changed since then: 90m, 2h, 7d, ISO 8601.")
@limited
@in_two_forms
def list_jobs(  # noqa: PLR0913 - options, each by its name
    *,
    state: str | None,
    outcome: str | None,
    partner: str | None,
    since: datetime | None,
    limit: int,
    form: str | None,
) -> None:
    """List jobs, the last changed first. Every filter narrows the list."""
    with store_of(settings_now()) as store:
        rows = store.reports.jobs(
            state=State(state) if state else None,
            outcome=Outcome(outcome) if outcome else None,
            partner_id=partner,
            since=since,
            most=limit + 1,
        )
        rests = resting(store)
    with up_to(limit, rows) as shown:
        if wants_json(form):
            print_json(shown)
        else:
            from worker.cli.ui import job_page  # noqa: PLC0415 - rich is slow to load, JSON needs none

            job_page.put_jobs(shown, rests, now=datetime.now(UTC))
