"""`stats`: what is true at a glance, and what needs a person."""

from typing import Any

import click

from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.explain.attention import Overview, attention, read_overview
from worker.store import EndpointStatus


@click.command
@in_two_forms
def stats(*, form: str | None) -> None:
    """Count jobs by state and outcome; say what waits, who rests, and what needs a person."""
    with store_of(settings_now()) as store:
        picture = read_overview(store)
    if wants_json(form):
        print_json(_document(picture))
        return
    from worker.cli.ui.stats_page import put_picture  # noqa: PLC0415 - rich is slow to load

    put_picture(picture, list(attention(picture)))


def _document(picture: Overview) -> dict[str, Any]:
    counts = picture.counts
    return {
        "states": counts.states,
        "outcomes": counts.outcomes,
        "attempts": counts.attempts,
        "due": counts.due,
        "oldest_due_seconds": counts.oldest_due,
        "in_flight_past_lease": picture.silent,
        "partners_not_active": picture.resting,
        "rejected_messages": picture.rejected,
        "told": [_told(glance) for glance in picture.told],
        "attention": list(attention(picture)),
    }


def _told(glance: EndpointStatus) -> dict[str, Any]:
    return {
        "destination": glance.endpoint.destination,
        "mode": glance.endpoint.mode,
        "reason": glance.endpoint.reason,
        "waiting": glance.waiting,
        "oldest_waiting_seconds": glance.oldest,
        "dead": glance.dead,
    }
