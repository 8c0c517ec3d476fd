"""
Every failure of a call: its word, its error class and its meaning.

The words are stable: they are stored in `cancel_attempts.heard` and used in metrics and alarms.
"""

import re

from worker.errors import (
    AnswerLost,
    BankError,
    BankUnreachable,
    BankUntrusted,
    CallMisconfigured,
    CallNotMade,
    CertificateRefused,
)
from worker.net.faults import fault_of
from worker.telemetry.redaction import redact_cut

MAX_DETAIL_LENGTH = 200

FAULTS: dict[str, tuple[type[BankError], str]] = {
    "no_time_left": (CallNotMade, "no time was left for the call"),
    "closed": (CallNotMade, "this process has stopped calling the bank"),
    "slot_missed": (CallNotMade, "the call missed its slot of the partner's rate"),
    "pool_timeout": (CallNotMade, "every connection was busy until the deadline"),
    "dns_failed": (BankUnreachable, "the bank's host name could not be resolved"),
    "connect_failed": (BankUnreachable, "the connection could not be made"),
    "connect_timeout": (BankUnreachable, "the connection was not made before the deadline"),
    "tls_failed": (BankUnreachable, "the TLS handshake failed"),
    "proxy_failed": (BankUnreachable, "the proxy did not open the way to the bank"),
    "tls_untrusted": (
        BankUntrusted,
        "the peer could not prove that it is the bank (check its address and ca_bundle)",
    ),
    "tls_refused": (
        CertificateRefused,
        "the bank refused our client certificate, or that there is none",
    ),
    "write_failed": (AnswerLost, "the connection broke while the request was sent"),
    "write_timeout": (AnswerLost, "the request was not sent whole before the deadline"),
    "read_timeout": (AnswerLost, "the bank said nothing before the deadline"),
    "deadline": (AnswerLost, "the answer was still arriving at the deadline"),
    "connection_dropped": (AnswerLost, "the connection ended before the answer was whole"),
    "tls_alert": (
        AnswerLost,
        "the bank ended TLS after the handshake; it may want another client certificate",
    ),
    "protocol_error": (AnswerLost, "what came back is not HTTP"),
    "stray_answer": (AnswerLost, "the answer was there before the request was sent"),
    "unexpected": (AnswerLost, "the call failed in an unforeseen way"),
    "bad_url": (CallMisconfigured, "the bank's URL cannot be called"),
    "bad_request": (CallMisconfigured, "the request cannot be written"),
    "bad_tls_files": (CallMisconfigured, "the TLS files cannot be used"),
    "wrong_partner": (CallMisconfigured, "the request is not this partner's"),
    "http_library": (CallMisconfigured, "the installed httpx and httpcore cannot be used"),
}


# From here on the text of h11 quotes bytes: ours, or the peer's, which may echo ours.
_QUOTED = re.compile(r"\(?\b(?:bytearray\()?b['\"].*", re.DOTALL)
_READ_LENGTH = 20 * MAX_DETAIL_LENGTH


def bank_error(word: str, detail: str = "") -> BankError:
    """Return the error for a word, with its meaning and the detail of this case."""
    branch, meaning = FAULTS[word]
    return branch(f"{meaning}: {detail}" if detail else meaning, fault=word)


def translate(error: Exception) -> BankError:
    """
    Return the `BankError` for an error of the HTTP libraries. Total: every error has one.

    It quotes nothing that was received.
    """
    word = fault_of(error)
    text = "" if word == "unexpected" else str(error)[:_READ_LENGTH]
    detail = redact_cut(_QUOTED.sub("", text).strip(" :"))[:MAX_DETAIL_LENGTH]
    return bank_error(word, detail or type(error).__name__)
