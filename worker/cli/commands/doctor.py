"""`doctor`: one line for each check, printed as soon as it is made."""

import shutil
import sys
import textwrap
from collections.abc import Iterable

import click

from worker.cli.ui.exit_codes import DONE, NO, SETTINGS, UNREACHABLE
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.doctor.diagnosis import diagnose
from worker.doctor.finding import Finding, Severity
from worker.explain.text import shown
from worker.telemetry.log import configure_logging
from worker.telemetry.redaction import redact

CODES = {
    Severity.OK: DONE,
    Severity.WRONG: NO,
    Severity.UNREACHABLE: UNREACHABLE,
    Severity.UNUSABLE: SETTINGS,
}


@click.command
@click.option(
    "--worker",
    is_flag=True,
    help="A health check: only whether a worker of this KPLUS_HOME moves. Connects to nothing.",
)
@in_two_forms
def doctor(*, worker: bool, form: str | None) -> None:
    """
    Check settings, partners, database, progress, workers, broker and bank, one line each.

    Nothing is changed and no call is made: the bank is connected to, and asked to prove
    who it is. Exit code 0 if all is well, 3 if settings cannot be used, else 4 if
    something cannot be reached, else 1.
    """
    configure_logging(level="ERROR")
    found = []
    for finding in diagnose(worker=worker):
        found.append(finding)
        if not wants_json(form):
            _put(finding)
    if wants_json(form):
        print_json({"ok": all(each.ok for each in found), "checks": _documents(found)})
    raise click.exceptions.Exit(CODES[max(each.severity for each in found)])


def _put(finding: Finding) -> None:
    """Print one finding; below a failed one, what to do."""
    mark = click.style("✓", fg="green") if finding.ok else click.style("✗", fg="red", bold=True)
    line = f"{shown(finding.check)}: {shown(redact(finding.text))}"
    click.echo(f"{mark} {_wrapped(line, 2)}")
    if finding.remedy:
        click.echo(f"    → {_wrapped(shown(finding.remedy), 6)}")


def _wrapped(text: str, indent: int) -> str:
    """Break a line between words on a terminal; elsewhere leave it whole."""
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns - indent
    lines = textwrap.wrap(text, max(width, 40), break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(lines)


def _documents(found: Iterable[Finding]) -> list[dict[str, object]]:
    return [
        {
            "check": each.check,
            "ok": each.ok,
            "text": redact(each.text),
            "remedy": each.remedy or None,
        }
        for each in found
    ]
