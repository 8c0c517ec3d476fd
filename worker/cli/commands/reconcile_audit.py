"""`reconcile --audit`: the bank is asked again about some final jobs."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from worker.cli.ui.context import database_of, refuse_missing_file, settings_now
from worker.cli.ui.exit_codes import NO, UNREACHABLE
from worker.cli.ui.output import print_json, wants_json
from worker.cli.ui.progress import progress
from worker.config.settings import Settings
from worker.errors import SettingsError
from worker.explain.text import clock, jobs, shown
from worker.jobs.audit import AUDITED, AuditResult, audit
from worker.runtime import Runtime
from worker.store.operators.audits import AuditVerdict
from worker.telemetry.log import configure_logging

LATELY = timedelta(days=1)
TOLD = {
    AuditVerdict.AGREES: "the bank says the same",
    AuditVerdict.DRIFTS: "the bank says otherwise: look into each",
    AuditVerdict.UNHEARD: "no answer that settles it",
}


def audit_jobs(most: int, since: datetime | None, *, form: str | None) -> None:
    """Ask about so many jobs that ended since then, chosen by chance; report."""
    settings = settings_now()
    configure_logging(level="CRITICAL")  # what is found is the answer, told below
    inquirers = _inquirers(settings)
    begins = since or datetime.now(UTC) - LATELY
    refuse_missing_file(settings)
    with database_of(settings):  # its faults, told before anybody is asked
        runtime = Runtime(settings)
    try:
        sampled = runtime.store.audits.sample(
            most=most, since=begins, outcomes=AUDITED, inquirers=inquirers
        )
        findings = []
        with progress("asking", len(sampled)) as advance:
            for each in sampled:
                findings.append(audit(each, runtime.attempt_context))
                advance(1)
    finally:
        runtime.close()
    _report(findings, begins, form=form)
    _end(Counter(each.verdict for each in findings))


def _inquirers(settings: Settings) -> list[str]:
    inquirers = settings.roster().inquirers
    if not inquirers:
        raise SettingsError(
            "the bank cannot be asked: no partner here has credentials and an inquiry URL "
            "(KPLUS_INQUIRY_URL, or inquiry_url in KPLUS_PARTNERS_FILE)"
        )
    return inquirers


def _end(counts: Counter[AuditVerdict]) -> None:
    if counts[AuditVerdict.DRIFTS]:
        raise click.exceptions.Exit(NO)
    if counts and not counts[AuditVerdict.AGREES]:
        raise click.exceptions.Exit(UNREACHABLE)


def _report(findings: list[AuditResult], since: datetime, *, form: str | None) -> None:
    counts = Counter(each.verdict for each in findings)
    worth_telling = [each for each in findings if each.verdict is not AuditVerdict.AGREES]
    if wants_json(form):
        print_json(
            {
                "since": since,
                "sampled": len(findings),
                **{str(verdict): counts[verdict] for verdict in AuditVerdict},
                "findings": worth_telling,
            }
        )
        return
    from worker.cli.ui.tables import put  # noqa: PLC0415 - rich is slow to load

    put(*_page(counts, worth_telling, since))


def _page(
    counts: Counter[AuditVerdict], findings: list[AuditResult], since: datetime
) -> Iterator[Any]:
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import Heading, heading, listed, table  # noqa: PLC0415 - see above

    ended = f"ended since {clock(since)} UTC"
    if not counts:
        yield Text(f"No job {ended} whose partner can inquire: nothing to ask about.")
        return
    yield Text(f"Asked about {jobs(counts.total())} that {ended}, chosen by chance.")
    rows = [(counts[verdict], TOLD[verdict]) for verdict in AuditVerdict if counts[verdict]]
    yield table((Heading("", number=True), Heading("", whole=False)), rows)
    for verdict in (AuditVerdict.DRIFTS, AuditVerdict.UNHEARD):
        told = [_told(each) for each in findings if each.verdict is verdict]
        if told:
            yield heading(TOLD[verdict].capitalize())
            yield listed(told)


def _told(each: AuditResult) -> str:
    status = f", token status {shown(each.token_status)}" if each.token_status else ""
    return f"{shown(each.partner_txn_uid)}: held {each.held}{status}: {shown(each.detail)}"
