"""
The bank's addresses: the name, the connection, the proof of identity.

Not a byte of HTTP is sent: the bank offers no call without an effect.
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
from worker.doctor.finding import Finding, Weight, wrong
from worker.domain.partners import Partner
from worker.errors import BankError
from worker.net.tls import default_context
from worker.net.tls_alerts import refused_in_handshake, refuses_late

PATIENCE = 5.0
A_MOMENT = 1.0
"""How long the bank may take to refuse our certificate after a handshake of TLS 1.3."""
SOON = timedelta(days=7)
PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Address:
    """One address of the bank, as one partner comes to it."""

    scheme: str
    host: str
    port: int
    partner: Partner | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What the line is about."""
        whose = f" for {self.partner.partner_id}" if self.partner else ""
        return f"bank {self.host}:{self.port}{whose}"


def bank(settings: Settings) -> Iterator[Finding]:
    """Yield a line for each address that a partner's calls go to."""
    for door in _doors(settings):
        yield _knock(door)


def _doors(settings: Settings) -> list[Address]:
    """Return each address once; once more for a partner with TLS files of its own."""
    roster = settings.roster()
    if not roster:
        return [door for door in [_door(settings.bank_url, None)] if door]
    doors = (
        _door(url, partner if has_tls_files(partner) else None)
        for partner in roster.values()
        for url in (partner.bank_url, partner.inquiry_url)
        if url is not None
    )
    return list(dict.fromkeys(door for door in doors if door))


def _door(url: str, partner: Partner | None) -> Address | None:
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.hostname:
            port = parts.port or PORTS[parts.scheme]
            return Address(parts.scheme, parts.hostname, port, partner)
    return None


def _knock(door: Address) -> Finding:
    """Resolve, connect and shake hands, all within a bound."""
    heard: list[Finding] = []
    # Names are looked up without a timeout.
    knocking = threading.Thread(target=lambda: heard.append(_meet(door)), daemon=True)
    knocking.start()
    knocking.join(3 * PATIENCE)
    return heard[0] if heard else _closed(door, "no answer in time")


def _meet(door: Address) -> Finding:
    try:
        with socket.create_connection((door.host, door.port), timeout=PATIENCE) as line:
            if door.scheme == "http":
                return Finding(door.name, "connected; plain HTTP, fit for a simulated bank only")
            with _context(door).wrap_socket(
                line, server_hostname=door.host, do_handshake_on_connect=False
            ) as secure:
                against = _shake_hands(secure)
                return _refused(door, against) if against else _proven(door, secure)
    except ssl.SSLCertVerificationError as error:
        remedy = "do not send secrets there; if the bank has an authority of its own, set ca_bundle"
        text = f"cannot prove to be the bank: {error.verify_message}"
        return wrong(door.name, text, remedy, weight=Weight.UNREACHABLE)
    except socket.gaierror as error:
        return _closed(door, f"the name is not known: {error.strerror}")
    except BankError as error:
        return wrong(door.name, str(error), "mend the TLS files named in KPLUS_PARTNERS_FILE")
    except OSError as error:
        return _closed(door, f"cannot be reached: {error.strerror or error}")


def _shake_hands(secure: ssl.SSLSocket) -> str | None:
    """Shake hands; return what the bank has against our certificate, or that there is none."""
    try:
        secure.do_handshake()
        if refuses_late(secure):
            secure.settimeout(A_MOMENT)
            secure.recv(1)
    except ssl.SSLError as error:
        against = refused_in_handshake(error, secure)
        if against is None:
            raise
        return against
    except TimeoutError:
        if not secure.version():
            raise
    return None


def _refused(door: Address, against: str) -> Finding:
    alert, _, advice = against.partition(": ")
    text = f"connected, but it refuses our client certificate, or that there is none ({alert})"
    return wrong(door.name, text, advice)


def _context(door: Address) -> ssl.SSLContext:
    return partner_context(door.partner) if door.partner else default_context()


def _proven(door: Address, secure: ssl.SSLSocket) -> Finding:
    told = f"connected, {secure.version()}, proved to be {door.host}"
    ends = (secure.getpeercert() or {}).get("notAfter")
    if not isinstance(ends, str):
        return Finding(door.name, told)
    at = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), tz=UTC)
    told = f"{told}; its certificate ends on {at:%Y-%m-%d}"
    if at - datetime.now(UTC) < SOON:
        return wrong(door.name, told, "ask the bank: calls stop working when it ends")
    return Finding(door.name, told)


def _closed(door: Address, text: str) -> Finding:
    remedy = "check KPLUS_BANK_URL, the firewall and the route; jobs wait meanwhile"
    return wrong(door.name, text, remedy, weight=Weight.UNREACHABLE)
