"""
The bank's addresses: the name, the connection, the proof of identity.

No HTTP is sent: the bank offers no call without an effect.
"""

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
from worker.net.probe import Look, Seen, look
from worker.net.proxy import Proxy
from worker.net.tls import TlsFilesUnusable, default_context

CONNECT_SECONDS = 5.0
EXPIRES_SOON = timedelta(days=7)
PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class BankAddress:
    """One address of the bank, the way to it, and the partner whose TLS files are used, if any."""

    scheme: str
    host: str
    port: int
    proxy: Proxy | None = None
    partner: Partner | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """How the check is called."""
        way = f" through {self.proxy.name}" if self.proxy else ""
        whose = f" for {self.partner.partner_id}" if self.partner else ""
        return f"bank {self.host}:{self.port}{way}{whose}"


def bank(settings: Settings) -> Iterator[Finding]:
    """Yield a line for each address that a partner's calls go to."""
    unused = settings.unused_proxies(settings.roster().values())
    for address in _addresses(settings):
        yield _check(address, unused)


def _addresses(settings: Settings) -> list[BankAddress]:
    """Return each address once for each way to it, and again for partners with TLS files."""
    roster = settings.roster()
    if not roster:
        return [each for each in [_address(settings.bank_url, None, settings.proxy)] if each]
    addresses = (
        _address(url, partner if has_tls_files(partner) else None, partner.proxy)
        for partner in roster.values()
        for url in (partner.bank_url, partner.inquiry_url)
        if url is not None
    )
    return list(dict.fromkeys(each for each in addresses if each))


def _address(url: str, partner: Partner | None, proxy: Proxy | None) -> BankAddress | None:
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.hostname:
            port = parts.port or PORTS[parts.scheme]
            way = proxy if proxy is not None and proxy.serves(parts.hostname) else None
            return BankAddress(parts.scheme, parts.hostname, port, way, partner)
    return None


def _check(address: BankAddress, unused: str) -> Finding:
    """Resolve, connect and shake hands, all within a limit."""
    found: list[Finding] = []

    def check() -> None:
        try:
            found.append(_finding(address, _look(address), unused))
        except (BankError, TlsFilesUnusable) as error:
            remedy = "mend the TLS files named in KPLUS_PARTNERS_FILE, or KPLUS_PROXY_CA_BUNDLE"
            found.append(failed(address.name, str(error), remedy))
        except Exception as error:  # noqa: BLE001 - whatever a peer makes of it is the finding
            text = f"cannot be checked: {one_line(error)}"
            found.append(_unreachable(address, text, unused))

    # The system's resolver takes no timeout.
    checking = threading.Thread(target=check, daemon=True)
    checking.start()
    checking.join(3 * CONNECT_SECONDS)
    return found[0] if found else _unreachable(address, "no answer in time", unused)


def _look(address: BankAddress) -> Look:
    context = None if address.scheme == "http" else _context(address)
    return look(
        address.host,
        address.port,
        seconds=CONNECT_SECONDS,
        context=context,
        proxy=address.proxy,
    )


def _finding(address: BankAddress, look: Look, unused: str) -> Finding:
    match look.seen:
        case Seen.UNTRUSTED:
            remedy = (
                "do not send secrets there; if the bank has an authority of its own, set ca_bundle"
            )
            text = f"cannot prove to be the bank: {look.detail}"
            return failed(address.name, text, remedy, severity=Severity.UNREACHABLE)
        case Seen.PROXY_FAILED:
            remedy = (
                "check the proxy (KPLUS_PROXY_URL, or the partner's proxy_url); jobs wait meanwhile"
            )
            text = f"cannot be reached through the proxy: {look.detail}"
            return failed(address.name, text, remedy, severity=Severity.UNREACHABLE)
        case Seen.NAME_UNKNOWN:
            return _unreachable(address, f"the name is not known: {look.detail}", unused)
        case Seen.UNREACHABLE:
            return _unreachable(address, f"cannot be reached: {look.detail}", unused)
        case _:
            return _connected(address, look)


def _connected(address: BankAddress, look: Look) -> Finding:
    match look.seen:
        case Seen.CONNECTED:
            text = "connected; plain HTTP, fit for a simulated bank only"
            return Finding(address.name, text)
        case Seen.REFUSED:
            return _refused(address, look.detail)
        case Seen.LEFT:
            return _left(address, look)
        case Seen.SPOKE_FIRST:
            text = f"{_proved(address, look).text}; but it speaks before it is asked"
            remedy = "check KPLUS_BANK_URL: a bank speaks after it was asked"
            return failed(address.name, text, remedy)
        case _:
            return _proved(address, look)


def _left(address: BankAddress, look: Look) -> Finding:
    reason = f" ({look.detail})" if look.detail else ""
    text = f"{_proved(address, look).text}; but it ends the connection at once{reason}"
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


def _proved(address: BankAddress, look: Look) -> Finding:
    text = f"connected, {look.version}, proved to be {address.host}"
    ends = (look.certificate or {}).get("notAfter")
    if not isinstance(ends, str):
        return Finding(address.name, text)
    at = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), tz=UTC)
    text = f"{text}; its certificate ends on {at:%Y-%m-%d}"
    if at - datetime.now(UTC) < EXPIRES_SOON:
        return failed(address.name, text, "ask the bank: calls stop working when it ends")
    return Finding(address.name, text)


def _unreachable(address: BankAddress, text: str, unused: str) -> Finding:
    remedy = unused or (
        "check the address (KPLUS_BANK_URL, KPLUS_INQUIRY_URL, or the partner's own), "
        "the firewall and the route; jobs wait meanwhile"
    )
    return failed(address.name, text, remedy, severity=Severity.UNREACHABLE)
