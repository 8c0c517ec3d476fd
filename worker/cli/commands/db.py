"""`db`: bring the schema up to date, or check it."""

from typing import Any

import click

from worker.cli.ui.context import database_of, settings_now
from worker.cli.ui.exit_codes import NO
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.config.settings import Settings
from worker.config.sqlite_file import missing_file
from worker.store.schema import migrate
from worker.store.schema.versions import PREFIX
from worker.telemetry.log import configure_logging


class Revision(click.ParamType[str]):
    """A revision of the schema, by its number, or the latest."""

    name = "revision"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the revision, which must exist."""
        known = migrate.revisions()
        revision = f"{PREFIX}{value}" if f"{PREFIX}{value}" in known else str(value)
        if revision != migrate.LATEST and revision not in known:
            self.fail(f"{value!r} is not one of {', '.join(known)}, {migrate.LATEST}", param, ctx)
        return revision


@click.group
def db() -> None:
    """Create the schema, or check that it is up to date."""


@db.command("upgrade", short_help="Run the migrations that are missing.")
@click.option(
    "--to",
    type=Revision(),
    metavar="REVISION",
    default=migrate.LATEST,
    show_default=True,
    help="The revision to stop at.",
)
@in_two_forms
def upgrade(*, to: str, form: str | None) -> None:
    """
    Run the migrations that are missing: each whole or not at all, one process at a time.

    If nothing is missing, nothing is done. Take a backup of a configured database first.
    """
    settings = settings_now()
    configure_logging(level="WARNING")
    with database_of(settings) as database:
        done = migrate.upgrade(database, home=settings.home, to=to)
        found = migrate.examine(database)
    if wants_json(form):
        print_json({"applied": done, "current": found.current, "latest": found.latest})
        return
    for revision in done:
        click.echo(f"applied {revision}")
    click.echo("The schema is up to date." if found.up_to_date else f"Now: {found.missing()}.")


@db.command("check", short_help="Say whether the schema is up to date.")
@in_two_forms
def check(*, form: str | None) -> None:
    """Say whether the schema is up to date: exit code 0, or 1 with what is missing."""
    found = _examine(settings_now())
    if wants_json(form):
        print_json(
            {
                "up_to_date": found.up_to_date,
                "current": found.current,
                "latest": found.latest,
                "pending": found.pending,
                "missing_tables": found.missing_tables,
                "faults": found.faults,
                "obstacle": found.obstacle.fault if found.obstacle else None,
                "schema": found.namespace,
                "newer_than_this_program": found.foreign,
            }
        )
    else:
        click.echo(_line(found))
    if not found.up_to_date:
        raise click.exceptions.Exit(NO)


def _examine(settings: Settings) -> migrate.Schema:
    """Return what the schema lacks; a database file that does not exist is not created."""
    if missing_file(settings.database) is not None:
        return migrate.empty()
    with database_of(settings) as database:
        return migrate.examine(database)


def _line(found: migrate.Schema) -> str:
    if not found.up_to_date:
        return f"✗ {found.missing()}: {found.remedy}"
    if found.foreign:
        return f"✓ the schema is newer ({found.current}) than this program ({found.latest})"
    return f"✓ the schema is up to date ({found.current})"
