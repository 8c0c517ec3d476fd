"""`rejected`: the messages that could not become a job."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.explain import Row
from worker.explain.text import moment, shown, times

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="At most so many.",
)
@click.option("--bodies", is_flag=True, help="Show each body too, redacted. JSON always has it.")
@in_two_forms
def rejected(*, limit: int, bodies: bool, form: str | None) -> None:
    """
    List messages that could not become a job, the last seen first.

    They are kept redacted, once however often they came, and never tried again: the sender
    has to send them anew. Of a flood the first and the newest of each reason are kept, and the
    rest counted (KPLUS_REJECTED_MESSAGES, KPLUS_REJECTED_BYTES). A conflict names a
    partnerTxnUid that is stored with other content; the stored job stands.
    """
    with store_of(settings_now()) as store:
        rows = [row._asdict() for row in store.rejected_messages.latest(most=limit)]
        kept = sum(store.rejected_messages.counts().values())
        not_kept = store.rejected_messages.not_kept()
    if wants_json(form):
        print_json(rows)
    else:
        from worker.cli.ui.tables import put  # noqa: PLC0415 - rich is slow to load

        put(*_page(rows, bodies=bodies))
    if kept > len(rows):
        click.echo(f"{len(rows)} of {kept} are shown: raise --limit for more.", err=True)
    for reason, count in sorted(not_kept.items()):
        click.echo(f"{count} more of {reason} were counted, and not kept.", err=True)


def _page(rows: Sequence[Row], *, bodies: bool) -> "Iterator[RenderableType]":
    """Yield a paragraph for each message: what is wrong is a sentence, too long for a cell."""
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import indented  # noqa: PLC0415 - rich is slow to load

    now = datetime.now(UTC)
    if not rows:
        yield Text("No message was rejected.")
    for row in rows:
        seen = f"{moment(row['last_at'], now)}, seen {times(row['deliveries'])}"
        uid = f"  {shown(row['partner_txn_uid'])}" if row["partner_txn_uid"] else ""
        yield Text.assemble((shown(row["reason"]), "bold"), uid, f"  {seen}")
        yield indented(shown(row["detail"]))
        if bodies:
            yield indented(shown(row["body"]), style="dim")
