"""`outbox`: the events that the order system has not received yet, and operators' acts on them."""

from collections.abc import Iterator

import click

from worker.cli.ui.confirm import ask, usage
from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.exit_codes import NO
from worker.cli.ui.operator import operator
from worker.cli.ui.output import in_two_forms, limited, print_json, up_to, wants_json
from worker.cli.ui.params import Reason, Words
from worker.domain.destinations import Destination
from worker.domain.events import OutboxState
from worker.explain.events import event_document
from worker.explain.text import counted, shown
from worker.store import Store

REASON = "Why: recorded with who acts."


@click.group
def outbox() -> None:
    """List the events that tell the order system of outcomes; send them again."""


@outbox.command("list")
@click.option(
    "--state",
    type=click.Choice([str(state) for state in OutboxState]),
    help="Only events in this state; without, those that wait or are dead.",
)
@click.option("--uid", type=Words(), metavar="UID", help="Only those of this job, in every state.")
@limited
@in_two_forms
def list_events(*, state: str | None, uid: str | None, limit: int, form: str | None) -> None:
    """List events, the oldest first: how often each was tried, and what was wrong last."""
    with store_of(settings_now()) as store:
        chosen = OutboxState(state) if state else None
        rows = store.outbox.events(state=chosen, uid=uid, most=limit + 1)
    with up_to(limit, rows) as shown:
        if wants_json(form):
            print_json([event_document(row) for row in shown])
        else:
            from worker.cli.ui.events_table import events_table  # noqa: PLC0415 - rich is slow
            from worker.cli.ui.tables import put  # noqa: PLC0415 - rich is slow to load

            put(events_table(shown) if shown else "No event matches.")


@outbox.command
@click.argument("event_ids", nargs=-1, type=Words(), metavar="[ID]...")
@click.option("--dead", is_flag=True, help="All that are dead.")
@click.option("--reason", type=Reason(), required=True, help=REASON)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="With --dead: do it without asking.")
@in_two_forms
def resend(  # noqa: PLR0913 - options, each by its name
    *,
    event_ids: tuple[str, ...],
    dead: bool,
    reason: str,
    dry_run: bool,
    yes: bool,
    form: str | None,
) -> None:
    """
    Send the events ID…, or all that are dead, to the order system again, under the same ids.

    A delivered event is sent again if it is dead at no destination. Exit code 1 if an event
    is not known, or waits for its turn anyway.
    """
    if bool(event_ids) == dead:
        raise usage("name events by ID, or say --dead")
    with store_of(settings_now()) as store:
        chosen = list(dict.fromkeys(event_ids)) or sorted(_dead(store))
        if dead and chosen and not dry_run and not yes:
            ask("resend", counted(len(chosen), "event"))
        refused = [each for each in chosen if not _resend(store, each, reason, dry_run=dry_run)]
    done = len(chosen) - len(refused)
    if wants_json(form):
        print_json({"dry_run": dry_run, "resent": done, "refused": refused})
    else:
        verb = "would be" if dry_run else "will be"
        click.echo(f"{counted(done, 'event')} {verb} sent again.")
    for each in refused:
        fault = "is not known here, or waits for its turn anyway"
        click.echo(f"kplus-cancel outbox resend: {shown(each)} {fault}", err=True)
    if refused:
        raise click.exceptions.Exit(NO)


def _dead(store: Store) -> set[str]:
    return {event_id for page in store.outbox.dead() for event_id in page}


def _resend(store: Store, event_id: str, reason: str, *, dry_run: bool) -> bool:
    if dry_run:
        return store.outbox.can_be_resent(event_id)
    return store.actions.resend(event_id, who=operator(), reason=reason) > 0


@outbox.command
@click.option(
    "--destination",
    type=click.Choice([*map(str, Destination)]),
    help="Only this one; without, each that gets nothing now.",
)
@click.option("--reason", type=Reason(), required=True, help=REASON)
@in_two_forms
def enable(*, destination: str | None, reason: str, form: str | None) -> None:
    """Send to a receiver again that wanted no more (HTTP 410), or that rests after faults."""
    names = [Destination(destination)] if destination else [*Destination]
    with store_of(settings_now()) as store:
        done = [*_enable(store, names, reason)]
    if wants_json(form):
        print_json({"enabled": done})
    else:
        names_again = f"{' and '.join(done)} is served again"
        click.echo(f"{names_again if done else 'Every receiver was served'}.")


def _enable(store: Store, names: list[Destination], reason: str) -> Iterator[str]:
    for name in names:
        if store.actions.enable_destination(name, who=operator(), reason=reason):
            yield str(name)
