"""`partners`: which partners take calls, and the operators' pause and resume."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import click

from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.exit_codes import NO
from worker.cli.ui.operator import operator
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.cli.ui.params import Reason, Words
from worker.config.settings import Settings
from worker.explain.partner import known_partners, partner_cells
from worker.explain.text import shown
from worker.store import JobFilter, Store

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group
def partners() -> None:
    """List, pause and resume partners. Every act is recorded with its reason."""


@partners.command("list")
@in_two_forms
def list_partners(*, form: str | None) -> None:
    """List partners: whether each takes calls now, and why not."""
    settings = settings_now()
    with store_of(settings) as store:
        rows = known_partners(settings, store)
    if wants_json(form):
        print_json(rows)
        return
    from worker.cli.ui.tables import Heading, put, table  # noqa: PLC0415 - rich is slow to load

    if not rows:
        put("No partner is configured, and none has ever rested.")
        return
    now = datetime.now(UTC)
    headings = (
        Heading("partner", whole=False),
        Heading("mode"),
        Heading("here"),
        Heading("since"),
        Heading("resumes"),
        Heading("reason", whole=False),
    )
    put(table(headings, (partner_cells(row, now) for row in rows)))


class _Change(Protocol):
    def __call__(self, partner_id: str, /, *, who: str, reason: str) -> bool: ...


def _on_one(command: Command) -> Command:
    """Give a command the partner that it acts on, a reason, and two forms."""
    command = in_two_forms(command)
    text = "Why: recorded with who acts, and shown to all."
    command = click.option("--reason", type=Reason(), required=True, help=text)(command)
    return click.argument("partner_id", type=Words(), metavar="ID")(command)


@partners.command
@_on_one
def pause(*, partner_id: str, reason: str, form: str | None) -> None:
    """Start no more calls of partner ID. Calls under way end as they end; jobs wait."""
    row, changed = _act(partner_id, lambda store: store.actions.pause_partner, reason)
    result = "is paused" if changed else f"was paused already: {shown(row['reason'])}"
    _report(row, changed=changed, result=result, form=form)


@partners.command
@_on_one
def resume(*, partner_id: str, reason: str, form: str | None) -> None:
    """Start calls of partner ID again, whether it is paused or cooling down."""
    row, changed = _act(partner_id, lambda store: store.actions.resume_partner, reason)
    result = "takes calls" + ("" if changed else " already")
    _report(row, changed=changed, result=result, form=form)
    if not row["configured"]:
        click.echo(
            f"Partner {shown(partner_id)} has no credentials here: "
            "a worker that has none pauses it again at its next job.",
            err=True,
        )


def _act(
    partner_id: str, change: Callable[[Store], _Change], reason: str
) -> tuple[dict[str, Any], bool]:
    """Change a known partner; return how it stands then, and whether anything changed."""
    settings = settings_now()
    with store_of(settings) as store:
        _refuse_unknown(partner_id, settings, store)
        changed = change(store)(partner_id, who=operator(), reason=reason)
        rows = known_partners(settings, store)
    return next(row for row in rows if row["partner_id"] == partner_id), changed


def _refuse_unknown(partner_id: str, settings: Settings, store: Store) -> None:
    """Exit if the partner is not known: a typing error must not look like a pause."""
    known = [row["partner_id"] for row in known_partners(settings, store)]
    if partner_id in known or store.reports.jobs(JobFilter(partner_id=partner_id), most=1):
        return
    names = ", ".join(map(shown, known)) or "none"
    click.echo(
        f"kplus-cancel partners: there is no partner {partner_id!a} (known: {names})", err=True
    )
    raise click.exceptions.Exit(NO)


def _report(row: dict[str, Any], *, changed: bool, result: str, form: str | None) -> None:
    if wants_json(form):
        print_json({**row, "changed": changed})
    else:
        click.echo(f"Partner {shown(row['partner_id'])} {result}.")
