"""`why`: one job explained: what happened, what happens next, and what a person can do."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from worker.cli.commands.pruned import explain_pruned
from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.cli.ui.params import Words
from worker.explain.job import PrunedJob, StoredJob, read_job
from worker.explain.next_steps import Advice, next_steps
from worker.explain.text import shown

if TYPE_CHECKING:
    from rich.console import RenderableType


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
        explain_pruned(found.row, form=form)
        return
    if wants_json(form):
        print_json(found.document())
        return
    from worker.cli.ui.tables import put  # noqa: PLC0415 - rich is slow to load

    put(*_page(found))


def _page(found: StoredJob) -> "Iterator[RenderableType]":
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import heading, listed  # noqa: PLC0415 - rich is slow to load

    job, steps = found.file.job, next_steps(found.context)
    yield Text(shown(job["partner_txn_uid"]), style="bold")
    yield listed([found.stands()])
    yield heading("What happened")
    yield listed(found.history())
    yield heading("What happens next")
    yield listed(steps.next)
    yield heading("What would move it")
    yield from _advice(steps.advice, final=job["outcome"] is not None)


def _advice(advice: Sequence[Advice], *, final: bool) -> "Iterator[RenderableType]":
    """Yield what a person can do; each command on a line of its own, to be copied whole."""
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import listed  # noqa: PLC0415 - rich is slow to load

    if not advice:
        yield listed(["No command: it has its end." if final else "Nothing needs to be done."])
    for each in advice:
        yield listed([f"{each.what}{':' if each.command else '.'}"])
        if each.command:
            yield Text(f"    → {each.command}", overflow="fold")
