"""`reconcile --audit`: the bank is asked again about some final jobs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from worker.cli.ui.context import database_of, refuse_missing_file, settings_now
from worker.cli.ui.exit_codes import NO, UNREACHABLE
from worker.cli.ui.output import print_json, wants_json
from worker.cli.ui.progress import progress
from worker.config.settings import Settings
from worker.errors import SettingsError
from worker.explain.audit import REOPEN, VERDICTS, audit_line
from worker.explain.text import clock, jobs
from worker.jobs.audit import AUDITED, AuditResult, audit
from worker.runtime import Runtime
from worker.store.operators.audits import AuditVerdict
from worker.telemetry.log import configure_logging

if TYPE_CHECKING:
    from rich.console import RenderableType

ENDED_WITHIN = timedelta(days=1)
"""Without --since, jobs that ended within this time are audited."""


def audit_jobs(most: int, since: datetime | None, *, form: str | None) -> None:
    """Ask about at most so many jobs that ended since then, chosen by chance; report."""
    settings = settings_now()
    configure_logging(level="CRITICAL")  # the report below says all that a log would
    inquirers = _inquirers(settings)
    begins = since or datetime.now(UTC) - ENDED_WITHIN
    refuse_missing_file(settings)
    with database_of(settings):  # reports its faults before the bank is asked
        runtime = Runtime(settings)
    try:
        sampled = runtime.store.audits.sample(
            most=most, since=begins, outcomes=AUDITED, inquirers=inquirers
        )
        results = []
        with progress("asking", len(sampled)) as advance:
            for each in sampled:
                results.append(audit(each, runtime.attempt_context))
                advance(1)
    finally:
        runtime.close()
    _report(results, begins, form=form)
    _exit(Counter(each.verdict for each in results))


def _inquirers(settings: Settings) -> list[str]:
    inquirers = settings.roster().inquirers
    if not inquirers:
        raise SettingsError(
            "the bank cannot be asked: no partner here has credentials and an inquiry URL "
            "(KPLUS_INQUIRY_URL, or inquiry_url in KPLUS_PARTNERS_FILE)"
        )
    return inquirers


def _exit(counts: Counter[AuditVerdict]) -> None:
    if counts[AuditVerdict.DRIFTS]:
        raise click.exceptions.Exit(NO)
    if counts and not counts[AuditVerdict.AGREES]:
        raise click.exceptions.Exit(UNREACHABLE)


def _report(results: Sequence[AuditResult], since: datetime, *, form: str | None) -> None:
    counts = Counter(each.verdict for each in results)
    findings = [each for each in results if each.verdict is not AuditVerdict.AGREES]
    if wants_json(form):
        print_json(
            {
                "since": since,
                "sampled": len(results),
                **{str(verdict): counts[verdict] for verdict in AuditVerdict},
                "findings": findings,
            }
        )
        return
    from worker.cli.ui.tables import put  # noqa: PLC0415 - rich is slow to load

    put(*_page(counts, findings, since))


def _page(
    counts: Counter[AuditVerdict], findings: Sequence[AuditResult], since: datetime
) -> "Iterator[RenderableType]":
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import Heading, heading, listed, table  # noqa: PLC0415 - see above

    ended = f"ended since {clock(since)} UTC"
    if not counts:
        yield Text(f"No job {ended} whose partner can inquire: nothing to ask about.")
        return
    yield Text(f"Asked about {jobs(counts.total())} that {ended}, chosen by chance.")
    rows = [(counts[verdict], VERDICTS[verdict]) for verdict in AuditVerdict if counts[verdict]]
    yield table((Heading("", number=True), Heading("", whole=False)), rows)
    for verdict in (AuditVerdict.DRIFTS, AuditVerdict.UNHEARD):
        lines = [_line(each) for each in findings if each.verdict is verdict]
        if lines:
            yield heading(VERDICTS[verdict].capitalize())
            yield listed(lines)
    if counts[AuditVerdict.DRIFTS]:
        yield Text(f"    → {REOPEN}")


def _line(each: AuditResult) -> str:
    return audit_line(
        each.partner_txn_uid,
        held=each.held,
        token_status=each.token_status,
        detail=each.detail,
    )
