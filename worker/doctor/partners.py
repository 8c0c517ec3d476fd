"""The partners: credentials, certificates and when they end; and the dialect."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from worker.bank.identity import partner_context
from worker.config.dialect_file import load_dialect
from worker.config.settings import Settings
from worker.doctor.certificate import certificate_end
from worker.doctor.finding import Finding, Severity, failed
from worker.domain.partners import Partner
from worker.errors import BankError, SettingsError
from worker.net.tls import TlsFilesUnusable, context_for_bundle

EXPIRES_SOON = timedelta(days=30)
"""The bank takes weeks to issue a new certificate: ask for it this long before."""


def partners(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each configured partner, or one for none."""
    roster = settings.roster()
    if not roster:
        yield failed(
            "partners",
            "none is configured: this is enough to enqueue, not to cancel",
            "set KPLUS_PARTNER_ID and KPLUS_PARTNER_SECRET_FILE, or KPLUS_PARTNERS_FILE",
        )
    for partner in roster.values():
        yield _partner(partner, now=datetime.now(UTC))


def dialect(settings: Settings) -> Finding:
    """Check that the dialect can be read."""
    try:
        words = load_dialect(settings.dialect_file)
    except SettingsError as error:
        remedy = "mend the file KPLUS_DIALECT_FILE names; the worker does not start with it"
        return failed("dialect", _one_line(error), remedy, severity=Severity.UNUSABLE)
    codes = len(words.error_codes) + len(words.short_codes)
    origin = f"built in and {settings.dialect_file}" if settings.dialect_file else "built in"
    return Finding("dialect", f"{codes} codes and {len(words.statuses)} statuses, {origin}")


def _partner(partner: Partner, *, now: datetime) -> Finding:
    name = f"partner {partner.partner_id}"
    try:
        partner_context(partner)
        if partner.proxy is not None and partner.proxy.is_tls:
            context_for_bundle(partner.proxy.ca_bundle, name="proxy_ca_bundle")
        ends = certificate_end(partner.client_cert) if partner.client_cert else None
    except (BankError, TlsFilesUnusable, OSError, ValueError) as error:
        return failed(name, _one_line(error), "mend the TLS files named in KPLUS_PARTNERS_FILE")
    if ends is None:
        return Finding(name, "credentials present; no client certificate")
    text = f"its client certificate ends at {ends:%Y-%m-%d %H:%M} UTC"
    days = (ends - now) // timedelta(days=1)
    if ends <= now:
        return failed(name, f"{text}: it has ended", "get a new one; the bank refuses this one")
    if ends - now < EXPIRES_SOON:
        return failed(name, f"{text}, in {days} days", "get a new one before that")
    return Finding(name, f"credentials present; {text}, in {days} days")


def _one_line(error: Exception) -> str:
    return str(error).replace("\n", "; ")
