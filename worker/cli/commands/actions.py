"""`actions`: the record of what operators did."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.cli.ui.params import Words
from worker.explain import Row
from worker.explain.actions import change
from worker.explain.text import NEVER, moment, shown

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command
@click.argument("target", type=Words(), required=False, metavar="[UID|PARTNER]")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="At most so many.",
)
@in_two_forms
def actions(*, target: str | None, limit: int, form: str | None) -> None:
    """
    List what operators did, the last act first: who, when, why, and what it changed.

    With a partnerTxnUid or a partner's ID only the acts on that one.
    """
    with store_of(settings_now()) as store:
        rows = store.reports.actions(target, most=limit + 1)
    more, rows = len(rows) > limit, rows[:limit]
    if wants_json(form):
        print_json(rows)
    else:
        from worker.cli.ui.tables import put  # noqa: PLC0415 - rich is slow to load

        put(*_page(rows, target))
    if more:
        click.echo(f"There are more than {limit}: raise --limit for them.", err=True)


def _page(rows: Sequence[Row], target: str | None) -> "Iterator[RenderableType]":
    """Yield a paragraph for each act: a reason is a sentence, too long for a cell."""
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import indented  # noqa: PLC0415 - rich is slow to load

    now = datetime.now(UTC)
    if not rows:
        yield Text(f"No act on {shown(target)} is recorded." if target else "No act is recorded.")
    for row in rows:
        yield Text.assemble((f"{row['action']} {shown(row['target'])}", "bold"))
        yield indented(f"{moment(row['at'], now)}, by {shown(row['who'])}")
        yield indented(shown(row["reason"]))
        yield indented(change(row) or NEVER, style="dim")
