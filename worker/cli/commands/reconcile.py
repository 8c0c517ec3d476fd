"""`reconcile`: one pass of the sweep, or a comparison with the order system, or with the bank."""

from datetime import datetime
from typing import BinaryIO, TextIO

import click

from worker.cli.commands.reconcile_manifest import ComparisonRequest, Window, compare_manifest
from worker.cli.ui.confirm import usage
from worker.cli.ui.output import in_two_forms
from worker.cli.ui.params import Since


@click.command
@click.option(
    "--manifest",
    type=click.File("rb"),
    metavar="FILE",
    help="Compare with this list of what should be cancelled: CSV or JSON Lines, - for a pipe.",
)
@click.option("--enqueue", is_flag=True, help="With --manifest: accept what is unknown here.")
@click.option(
    "--audit",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Ask the bank again about so many final jobs, chosen by chance.",
)
@click.option(
    "--since",
    type=Since(),
    help="With --manifest: look for jobs accepted since then too. With --audit: ended since (24h).",
)
@click.option("--until", type=Since(), help="With --since: and before that time; without, now.")
@click.option(
    "--limit",
    type=click.IntRange(0, 10_000),
    default=20,
    show_default=True,
    help="With --manifest: so many examples of each kind.",
)
@click.option(
    "--details",
    type=click.File("w"),
    metavar="FILE",
    help="With --manifest: write every difference here, as JSON Lines.",
)
@click.option("--dry-run", is_flag=True, help="With --enqueue: compare, and accept nothing.")
@click.option("--yes", is_flag=True, help="With --enqueue: do it without asking.")
@in_two_forms
def reconcile(  # noqa: PLR0913 - options, each by its name
    *,
    manifest: BinaryIO | None,
    enqueue: bool,
    audit: int | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    details: TextIO | None,
    dry_run: bool,
    yes: bool,
    form: str | None,
) -> None:
    """
    Make one pass of the sweep: rescue lost claims, end jobs past their limits, hint due ones.

    Every worker does so by itself once a second; this is for a scheduler of your own, or
    while no worker runs. Without a broker nothing is hinted, the rest is done.

    With --manifest nothing of that is done: the order system's list is compared with the
    table, both ways. Exit code 1 if they differ. It is safe to repeat at any time.

    With --audit the bank is asked, through the partners' own limits, what became of tokens
    that are final here. No job is changed. Exit code 1 if the bank contradicts one.
    """
    if manifest is not None and audit is not None:
        raise usage("--manifest and --audit exclude each other")
    if manifest is None:
        _refuse({"--enqueue": enqueue, "--until": until, "--details": details})
    if audit is not None:
        from worker.cli.commands.reconcile_audit import audit_jobs  # noqa: PLC0415 - Celery is slow to load

        audit_jobs(audit, since, form=form)
        return
    if manifest is None:
        if since is not None:
            raise usage("--since needs --manifest or --audit")
        from worker.cli.commands.worker import one_pass  # noqa: PLC0415 - Celery is slow to load

        one_pass(form)
        return
    if until is not None and (since is None or until <= since):
        raise usage("--until needs an earlier --since")
    request = ComparisonRequest(
        manifest,
        Window(since, until),
        enqueue=enqueue,
        dry_run=dry_run,
        yes=yes,
        limit=limit,
        details=details,
    )
    compare_manifest(request, form=form)


def _refuse(given: dict[str, object]) -> None:
    """Raise a usage error for options that only --manifest takes."""
    named = [name for name, value in given.items() if value]
    if named:
        raise usage(f"{' and '.join(named)} need{'s' * (len(named) == 1)} --manifest")
