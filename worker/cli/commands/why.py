"""`why`: one job explained, from what happened to what would move it."""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from worker.cli.commands.pruned import explain_left
from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.cli.ui.params import Words
from worker.explain.history import happened, stands
from worker.explain.job import PrunedJob, StoredJob, read_job
from worker.explain.next_steps import Act, NextSteps, next_steps
from worker.explain.text import shown


@click.command
@click.argument("uid", type=Words())
@in_two_forms
def why(*, uid: str, form: str | None) -> None:
    """
    Explain one job: where it stands, what happened, what happens next, and what would move it.

    UID is its partnerTxnUid. All times are UTC. See `show` for every attempt.
    """
    settings = settings_now()
    with store_of(settings) as store:
        found = read_job(uid, store=store, settings=settings)
    if isinstance(found, PrunedJob):
        explain_left(found.row, form=form)
        return
    ahead = next_steps(found.matter)
    job, now = found.file.job, found.matter.now
    story = list(happened(job, found.file.attempts, found.acts, now))
    if wants_json(form):
        print_json(
            {
                "partner_txn_uid": job["partner_txn_uid"],
                "state": job["state"],
                "outcome": job["outcome"],
                "stands": stands(job, now),
                "happened": story,
                "next": " ".join(ahead.next),
                "next_at": ahead.at,
                "acts": ahead.acts,
            }
        )
        return
    from worker.cli.ui.tables import put  # noqa: PLC0415 - rich is slow to load

    put(*_page(found, story, ahead))


def _page(found: StoredJob, story: Sequence[str], ahead: NextSteps) -> Iterator[Any]:
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import heading, listed  # noqa: PLC0415 - rich is slow to load

    job, now = found.file.job, found.matter.now
    yield Text(shown(job["partner_txn_uid"]), style="bold")
    yield listed([stands(job, now)])
    yield heading("What happened")
    yield listed(story)
    yield heading("What happens next")
    yield listed(ahead.next)
    yield heading("What would move it")
    yield from _acts(ahead.acts, final=job["outcome"] is not None)


def _acts(acts: Sequence[Act], *, final: bool) -> Iterator[Any]:
    """Yield what a person can do; a command stands on a line of its own, to be copied whole."""
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import listed  # noqa: PLC0415 - rich is slow to load

    if not acts:
        yield listed(["No command: it has its end." if final else "Nothing needs to be done."])
    for act in acts:
        yield listed([f"{act.what}{':' if act.command else '.'}"])
        if act.command:
            yield Text(f"    → {act.command}", overflow="fold")
