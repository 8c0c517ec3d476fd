"""What is shown: the steps, the table, the proof, and how to go on."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from worker.demo.play import play
from worker.demo.proof import Proof
from worker.demo.stage import stage
from worker.telemetry.about import FIRST_USE, OPERATIONS
from worker.telemetry.log import configure_logging

GO_ON = f"""\
How to go on
  .venv/bin/kplus-cancel --help      every command
  {FIRST_USE}            a first worker of your own
  {OPERATIONS}          what to do at three in the morning"""


class Screen:
    """Shows the demo: a progress bar on a terminal, plain lines elsewhere, nothing for JSON."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(quiet=quiet, highlight=False)
        self._progress: Progress | None = None
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        """Print one step, with the seconds since the start."""
        console = self._progress.console if self._progress else self._console
        elapsed = f"[dim]{time.monotonic() - self._started:5.1f} s[/dim]"
        console.print(f"{elapsed}  {text}", soft_wrap=True)

    @contextmanager
    def counting(self, total: int) -> Iterator[None]:
        """Show how many jobs are final while the block runs."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("jobs final, {task.fields[posts]} POSTs at the bank"),
        )
        live = self._console.is_terminal and not self._console.quiet
        with Progress(*columns, console=self._console, transient=True, disable=not live) as bar:
            self._progress = bar
            bar.add_task("working", total=total, posts=0)
            yield
        self._progress = None

    def count(self, final: int, posts: int) -> None:
        """Update the figures of the bar."""
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=final, posts=posts)

    def end(self, proof: Proof, log: str) -> None:
        """Print the table of outcomes, the proof, and how to go on."""
        self._console.print()
        self._console.print(_table(proof))
        self._console.print("\n[bold]The proof, from the bank's own journal[/bold]")
        for claim in proof.claims:
            mark = "[green]✓[/green]" if claim.holds else "[red]✗[/red]"
            self._console.print(f"  {mark} {claim.text} [dim]({claim.figure})[/dim]")
            for uid in claim.against[:5]:
                self._console.print(f"      [red]{uid}[/red]")
        elapsed = f"{time.monotonic() - self._started:.1f} s"
        if proof.holds:
            self._console.print(
                f"\n[bold green]It holds.[/bold green] One effect per uid; {elapsed}."
            )
        else:
            self._console.print(f"\n[bold red]It does not hold.[/bold red] The log: {log}")
        self._console.print(f"\n{GO_ON}", markup=False)


def run_demo(*, jobs: int = 48, as_json: bool = False, keep: bool = False) -> bool:
    """
    Run the whole system on this machine and return whether the proof holds.

    With `keep`, or if the proof fails, the folder with database and log is kept.
    """
    configure_logging(level="ERROR")
    home = Path(tempfile.mkdtemp(prefix="kplus-cancel-demo-"))
    screen = Screen(quiet=as_json)
    holds = False
    try:
        with stage(home) as parts:
            proof = play(parts, jobs=jobs, screen=screen)
            holds = proof.holds
            screen.end(proof, str(parts.log))
        if as_json:
            print(json.dumps(_document(proof), indent=2))  # noqa: T201 - the result, to stdout
    finally:
        if holds and not keep:
            shutil.rmtree(home, ignore_errors=True)
    if keep:
        screen.say(f"kept: {home}")
    return holds


def _table(proof: Proof) -> Table:
    table = Table(title="What became of the jobs", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("the bank's side")
    table.add_column("jobs", justify="right")
    table.add_column("outcome")
    table.add_column("POSTs", justify="right")
    for line in proof.lines:
        outcomes = ", ".join(
            name if count == line.jobs else f"{count} {name}"
            for name, count in line.outcomes.items()
        )
        table.add_row(line.meets, str(line.jobs), outcomes, str(line.posts))
    return table


def _document(proof: Proof) -> dict[str, object]:
    return {"holds": proof.holds, **asdict(proof)}
