"""`partners`: who takes calls, and the operators' pause and resume, each with its reason."""

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
from worker.domain.partners import PartnerMode
from worker.explain.text import NEVER, hint, moment, shown
from worker.store import Store

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
        rows = _merged(settings, store)
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
    put(table(headings, (_cells(row, now) for row in rows)))


class _Act(Protocol):
    def __call__(self, partner_id: str, /, *, who: str, reason: str) -> bool: ...


def _on_one(command: Command) -> Command:
    """Give a command the partner that it acts on, a reason, and two forms."""
    command = in_two_forms(command)
    why = "Why: recorded with who acts, and shown to all."
    command = click.option("--reason", type=Reason(), required=True, help=why)(command)
    return click.argument("partner_id", type=Words(), metavar="ID")(command)


@partners.command
@_on_one
def pause(*, partner_id: str, reason: str, form: str | None) -> None:
    """Let no call of partner ID start. Calls under way end as they end; jobs wait."""
    row, changed = _done(partner_id, lambda store: store.actions.pause_partner, reason)
    told = "is paused" if changed else f"was paused already: {shown(row['reason'])}"
    _report(row, changed=changed, told=told, form=form)


@partners.command
@_on_one
def resume(*, partner_id: str, reason: str, form: str | None) -> None:
    """Let partner ID, paused or cooling down, take calls again."""
    row, changed = _done(partner_id, lambda store: store.actions.resume_partner, reason)
    _report(row, changed=changed, told="takes calls" + ("" if changed else " already"), form=form)
    if not row["configured"]:
        click.echo(
            f"Partner {partner_id} has no credentials here: "
            "a worker that has none pauses it again at its next job.",
            err=True,
        )


def _done(
    partner_id: str, act: Callable[[Store], _Act], reason: str
) -> tuple[dict[str, Any], bool]:
    """Act on a partner that somebody knows; return how it stands, and whether that is new."""
    settings = settings_now()
    with store_of(settings) as store:
        _refuse_unknown(partner_id, settings, store)
        changed = act(store)(partner_id, who=operator(), reason=reason)
        rows = _merged(settings, store)
    return next(row for row in rows if row["partner_id"] == partner_id), changed


def _merged(settings: Settings, store: Store) -> list[dict[str, Any]]:
    """Return every partner that is configured here or has ever rested."""
    rested = {row.partner_id: row._asdict() for row in store.partners.all()}
    roster = settings.roster()
    active = {"mode": PartnerMode.ACTIVE, "reason": None, "resume_at": None, "failures": 0}
    return [
        {
            "partner_id": name,
            **rested.get(name, {**active, "updated_at": None}),
            "configured": name in roster,
        }
        for name in sorted({*rested, *roster})
    ]


def _refuse_unknown(partner_id: str, settings: Settings, store: Store) -> None:
    """End where nobody knows the partner: a typing error must not look like a pause."""
    known = [row["partner_id"] for row in _merged(settings, store)]
    if partner_id in known or store.reports.jobs(partner_id=partner_id, most=1):
        return
    names = ", ".join(known) or "none"
    click.echo(
        f"kplus-cancel partners: there is no partner {partner_id!r} (known: {names})", err=True
    )
    raise click.exceptions.Exit(NO)


def _report(row: dict[str, Any], *, changed: bool, told: str, form: str | None) -> None:
    if wants_json(form):
        print_json({**row, "changed": changed})
    else:
        click.echo(f"Partner {row['partner_id']} {told}.")


def _cells(row: dict[str, Any], now: datetime) -> tuple[object, ...]:
    since = hint(row["updated_at"], now) if row["updated_at"] else NEVER
    resumes = moment(row["resume_at"], now) if row["resume_at"] else NEVER
    here = "configured" if row["configured"] else "no credentials"
    return row["partner_id"], row["mode"], here, since, resumes, row["reason"]
