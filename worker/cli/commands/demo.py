"""`demo`: the whole system on this machine, against the simulated bank."""

import click

from worker.cli.ui.exit_codes import NO
from worker.demo import run_demo


@click.command
@click.option(
    "--jobs",
    type=click.IntRange(1, 10_000),
    default=48,
    show_default=True,
    help="At least so many jobs, in rounds of 48.",
)
@click.option("--keep", is_flag=True, help="Keep the folder with database and log.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
def demo(*, jobs: int, keep: bool, as_json: bool) -> None:
    """
    Show the whole system at work, and prove "one effect per uid" from the bank's journal.

    It needs no database, broker or bank: all three are made in a folder of their own, and
    gone afterwards. Exit code 1 if the proof fails.
    """
    if not run_demo(jobs=jobs, as_json=as_json, keep=keep):
        raise click.exceptions.Exit(NO)
