"""`stats`: counts, and what needs a person."""

import click

from worker.cli.ui.context import settings_now, store_of
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.explain.attention import read_overview


@click.command
@in_two_forms
def stats(*, form: str | None) -> None:
    """Count jobs by state and outcome; say what waits, who rests, and what needs a person."""
    settings = settings_now()
    with store_of(settings) as store:
        overview = read_overview(store, settings.roster())
    if wants_json(form):
        print_json(overview.document())
        return
    from worker.cli.ui.stats_page import put_overview  # noqa: PLC0415 - rich is slow to load

    put_overview(overview)
