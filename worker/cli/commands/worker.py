"""`worker`, and one pass of the sweep: the commands that do the work."""

import threading
from datetime import timedelta
from typing import Any

import click

from worker.broker.hints import Hints
from worker.cli.ui.context import database_of, ready_schema, refuse_missing_file, settings_now
from worker.cli.ui.output import print_json, wants_json
from worker.config.settings import Settings
from worker.config.trial import try_settings
from worker.doctor.broker import refuse_a_forgetful_broker
from worker.explain.text import jobs
from worker.jobs.sweep import SweepResult, sweep
from worker.process.run import run_worker
from worker.runtime import Runtime, broker_url, create_celery
from worker.telemetry.log import configure_logging

LEVELS = ("debug", "info", "warning", "error")
BROKER_TIMEOUT = timedelta(seconds=2)
"""How long `reconcile` waits for one answer of the broker."""


@click.command
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1024),
    help="Bank calls at once; without it, KPLUS_CONCURRENCY (16).",
)
@click.option(
    "--pool",
    type=click.Choice(("threads", "prefork")),
    default="threads",
    show_default=True,
    help="Threads of one process, or processes.",
)
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="info",
    show_default=True,
    help="The least severe events that are logged, on standard error.",
)
def worker(*, concurrency: int | None, pool: str, log_level: str) -> int:
    """
    Cancel tokens until SIGTERM: calls under way end first. A second one ends at once.

    Without KPLUS_DATABASE_URL and KPLUS_BROKER_URL it runs on files in KPLUS_HOME and on a
    broker of its own. Any number of workers may share one database and one broker.
    """
    return start(settings_now(concurrency=concurrency), pool=pool, level=log_level.upper())


def start(settings: Settings, *, pool: str, level: str, **program: Any) -> int:
    """
    Check the schema and the broker, then run the worker; return its exit code.

    `celery -A worker worker` comes here too. See `run_worker` for `program`.
    """
    configure_logging(level=level)
    try_settings(settings)
    ready_schema(settings)
    refuse_a_forgetful_broker(settings)
    return run_worker(settings, pool=pool, level=level, **program)


def one_pass(form: str | None) -> None:
    """Make one pass of the sweep, and report; only hints need a broker."""
    settings = settings_now()
    configure_logging(level="WARNING")
    refuse_missing_file(settings)
    with database_of(settings):  # reports its faults before anything is done
        runtime = Runtime(settings)
    try:
        hints = _reachable(settings)
        done = sweep(runtime.sweep(hints))
    finally:
        runtime.close()
    _report(done, hinting=hints is not None, form=form)


def _reachable(settings: Settings) -> Hints | None:
    """Return what sends hints, or None if no broker answers in time."""
    url = broker_url(settings)
    if url is None:
        return None
    app = create_celery(settings, url=url, timeout=BROKER_TIMEOUT)
    answered = threading.Event()

    def ask() -> None:
        try:
            with app.connection_for_write() as connection:
                connection.connect()
                connection.channel()
        except Exception:  # noqa: BLE001 - any error means that no hint can be sent
            return
        answered.set()

    # The client looks names up without a timeout.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(2 * BROKER_TIMEOUT.total_seconds())
    return Hints(app) if answered.is_set() else None


def _report(done: SweepResult, *, hinting: bool, form: str | None) -> None:
    if wants_json(form):
        counts = {"rescued": done.rescued, "exhausted": done.exhausted, "hinted": done.hinted}
        print_json({**counts, "broker_reached": hinting})
        return
    click.echo(f"rescued    {jobs(done.rescued)} whose worker fell silent, now in doubt")
    click.echo(f"exhausted  {jobs(done.exhausted)} past the limits, now final")
    if hinting:
        click.echo(f"hinted     {jobs(done.hinted)} that are due")
    else:
        click.echo("hinted     none: no broker answers; a running worker finds due jobs by itself")
