"""
When a certificate ends, read from its file.

The standard library reads this from a peer's certificate only, not from a file, and a
cryptography package for one date would be too much. So the few bytes of DER that hold it
are read here.
"""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_SEQUENCE, _UTC_TIME, _VERSION = 0x30, 0x17, 0xA0
_LONG_FORM = 0x80
_VALIDITY = 3
"""Its index in a certificate without a version: serial, algorithm, issuer, validity."""


def certificate_end(path: Path) -> datetime:
    """Return the end of the first certificate in a PEM file; ValueError if there is none."""
    text = path.read_text(encoding="ascii", errors="replace")
    start, stop = text.find(BEGIN), text.find(END)
    if not 0 <= start < stop:
        raise ValueError(f"{path} holds no certificate")
    der = ssl.PEM_cert_to_DER_cert(text[start : stop + len(END)])
    try:
        return _not_after(der)
    except (IndexError, StopIteration, ValueError) as error:
        raise ValueError(f"the certificate in {path} cannot be read") from error


def _not_after(der: bytes) -> datetime:
    (_, certificate) = next(_parts(der))
    (_, signed) = next(_parts(certificate))
    fields = [content for tag, content in _parts(signed) if tag != _VERSION]
    _, (tag, end) = _parts(fields[_VALIDITY])
    # Two digits of a year mean 1950 to 2049 (RFC 5280, section 4.1.2.5.1), as in strptime's %y
    # nearly: no certificate in use ends between 1950 and 1999.
    pattern = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(end.decode("ascii"), pattern).replace(tzinfo=UTC)


def _parts(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the content of each value of a DER sequence."""
    at = 0
    while at < len(content):
        tag, length, at = content[at], content[at + 1], at + 2
        if length & _LONG_FORM:
            size = length & ~_LONG_FORM
            length, at = int.from_bytes(content[at : at + size], "big"), at + size
        yield tag, content[at : at + length]
        at += length
