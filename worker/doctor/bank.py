"""
The bank's addresses: the name, the connection, the proof of identity.

No HTTP is sent: the bank offers no call without an effect.
"""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from worker.bank.identity import has_tls_files, partner_context
from worker.config.settings import Settings
from worker.doctor.finding import Finding, Severity, failed, one_line
from worker.domain.partners import Partner
from worker.errors import BankError
from worker.net.tls import default_context
from worker.net.tls_alerts import refused_in_handshake, refuses_late

CONNECT_SECONDS = 5.0
REFUSAL_SECONDS = 1.0
"""How long the bank may take to refuse our certificate after a handshake of TLS 1.3."""
EXPIRES_SOON = timedelta(days=7)
PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class BankAddress:
    """One address of the bank, and the partner whose TLS files are used for it, if any."""

    scheme: str
    host: str
    port: int
    partner: Partner | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """How the check is called."""
        whose = f" for {self.partner.partner_id}" if self.partner else ""
        return f"bank {self.host}:{self.port}{whose}"


def bank(settings: Settings) -> Iterator[Finding]:
    """Yield a line for each address that a partner's calls go to."""
    for address in _addresses(settings):
        yield _check(address)


def _addresses(settings: Settings) -> list[BankAddress]:
    """Return each address once, and again for each partner with TLS files of its own."""
    roster = settings.roster()
    if not roster:
        return [each for each in [_address(settings.bank_url, None)] if each]
    addresses = (
        _address(url, partner if has_tls_files(partner) else None)
        for partner in roster.values()
        for url in (partner.bank_url, partner.inquiry_url)
        if url is not None
    )
    return list(dict.fromkeys(each for each in addresses if each))


def _address(url: str, partner: Partner | None) -> BankAddress | None:
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.hostname:
            port = parts.port or PORTS[parts.scheme]
            return BankAddress(parts.scheme, parts.hostname, port, partner)
    return None


def _check(address: BankAddress) -> Finding:
    """Resolve, connect and shake hands, all within a limit."""
    found: list[Finding] = []

    def check() -> None:
        try:
            found.append(_connect(address))
        except Exception as error:  # noqa: BLE001 - whatever a peer makes of it is the finding
            found.append(_unreachable(address, f"cannot be checked: {one_line(error)}"))

    # The system's resolver takes no timeout.
    checking = threading.Thread(target=check, daemon=True)
    checking.start()
    checking.join(3 * CONNECT_SECONDS)
    return found[0] if found else _unreachable(address, "no answer in time")


def _connect(address: BankAddress) -> Finding:
    try:
        with socket.create_connection(
            (address.host, address.port), timeout=CONNECT_SECONDS
        ) as plain:
            if address.scheme == "http":
                return Finding(address.name, "connected; plain HTTP, fit for a simulated bank only")
            with _context(address).wrap_socket(
                plain, server_hostname=address.host, do_handshake_on_connect=False
            ) as secure:
                return _shake_hands(address, secure)
    except ssl.SSLCertVerificationError as error:
        remedy = "do not send secrets there; if the bank has an authority of its own, set ca_bundle"
        text = f"cannot prove to be the bank: {error.verify_message}"
        return failed(address.name, text, remedy, severity=Severity.UNREACHABLE)
    except (socket.gaierror, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no host can have it"
        return _unreachable(address, f"the name is not known: {why}")
    except BankError as error:
        return failed(address.name, str(error), "mend the TLS files named in KPLUS_PARTNERS_FILE")
    except OSError as error:
        return _unreachable(address, f"cannot be reached: {error.strerror or error}")


def _shake_hands(address: BankAddress, secure: ssl.SSLSocket) -> Finding:
    """Shake hands, and see whether the bank stays: it may refuse our certificate after that."""
    try:
        secure.do_handshake()
    except ssl.SSLError as error:
        refusal = refused_in_handshake(error, secure)
        if refusal is None:
            raise
        return _refused(address, refusal)
    # Read now: of a connection that the bank has closed it cannot be read any more.
    proved, may_refuse = _proved(address, secure), refuses_late(secure)
    secure.settimeout(REFUSAL_SECONDS)
    try:
        early = secure.recv(1)
    except TimeoutError:
        return proved  # it waits for a request, as it should
    except ssl.SSLError as error:
        refusal = refused_in_handshake(error, secure) if may_refuse else None
        return _refused(address, refusal) if refusal else _left(address, proved, error.reason)
    except OSError as error:
        return _left(address, proved, error.strerror)
    if early:
        remedy = "check KPLUS_BANK_URL: a bank speaks after it was asked"
        return failed(address.name, f"{proved.text}; but it speaks before it is asked", remedy)
    return _left(address, proved, None)


def _left(address: BankAddress, proved: Finding, why: str | None) -> Finding:
    reason = f" ({why})" if why else ""
    text = f"{proved.text}; but it ends the connection at once{reason}"
    remedy = (
        "ask the bank whether it wants a client certificate, and lets this machine's address in"
    )
    return failed(address.name, text, remedy)


def _refused(address: BankAddress, refusal: str) -> Finding:
    alert, _, remedy = refusal.partition(": ")
    text = f"connected, but it refuses our client certificate, or that there is none ({alert})"
    return failed(address.name, text, remedy)


def _context(address: BankAddress) -> ssl.SSLContext:
    return partner_context(address.partner) if address.partner else default_context()


def _proved(address: BankAddress, secure: ssl.SSLSocket) -> Finding:
    text = f"connected, {secure.version()}, proved to be {address.host}"
    ends = (secure.getpeercert() or {}).get("notAfter")
    if not isinstance(ends, str):
        return Finding(address.name, text)
    at = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), tz=UTC)
    text = f"{text}; its certificate ends on {at:%Y-%m-%d}"
    if at - datetime.now(UTC) < EXPIRES_SOON:
        return failed(address.name, text, "ask the bank: calls stop working when it ends")
    return Finding(address.name, text)


def _unreachable(address: BankAddress, text: str) -> Finding:
    remedy = (
        "check the address (KPLUS_BANK_URL, KPLUS_INQUIRY_URL, or the partner's own), "
        "the firewall and the route; jobs wait meanwhile"
    )
    return failed(address.name, text, remedy, severity=Severity.UNREACHABLE)
