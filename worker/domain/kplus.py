"""
The bank's requests and envelopes: requests are written exactly, envelopes are read liberally.

Only this module spells names as the bank does. Sources: the bank's cancel-token
page (docs/reference/bank.md, "The contract") and the public pages of the same product family.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from json import JSONDecodeError, loads

BANGKOK = timezone(timedelta(hours=7))
SUCCESS = "00"
MAX_TEXT_LENGTH = 200
MAX_TOKENS = 100
MAX_STATUSES = 10
UNREADABLE = "\ufffd"
EPOCH = datetime.fromtimestamp(0, tz=UTC)

_READ_LENGTH = 20 * MAX_TEXT_LENGTH
"""How much of a text is cleaned, from its beginning and from its end: more than is stored."""
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# `[redacted]` stands in place of a secret, and is no code.
_SHORT_CODE = re.compile(
    r"(?:\(|\[(?!redacted\]))\s*+([A-Za-z0-9_-]{2,35}+)\s*+[)\]]\s*+(?:\.\s*+)?\Z"
)

Clean = Callable[[str], str]
"""What is done to a text of the bank before anything is read off it."""


class RequestDt(StrEnum):
    """The form of `requestDt`: the seed says Unix seconds, the bank's examples differ."""

    UNIX = "unix"
    UNIX_MS = "unix_ms"
    ISO8601 = "iso8601"

    def write(self, at: datetime) -> int | str:
        """Return `at` in this form; ISO 8601 is written with Bangkok's offset."""
        if self is RequestDt.UNIX:
            return (at - EPOCH) // timedelta(seconds=1)
        if self is RequestDt.UNIX_MS:
            return (at - EPOCH) // timedelta(milliseconds=1)
        return at.astimezone(BANGKOK).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """One request to cancel a token."""

    partner_txn_uid: str
    partner_id: str
    token_id: str
    reference1: str

    def headers(self, secret: str) -> dict[str, str]:
        """Return the mandatory headers; the credentials travel here and in the body."""
        return {
            "content-type": "application/json",
            "Partner-Id": self.partner_id,
            "Partner-Secret": secret,
        }

    def body(self, secret: str, *, at: datetime, request_dt: RequestDt) -> dict[str, str | int]:
        """Return the mandatory body fields, in the order of the bank's page."""
        return {
            "partnerTxnUid": self.partner_txn_uid,
            "partnerId": self.partner_id,
            "partnerSecret": secret,
            "requestDt": request_dt.write(at),
            "tokenId": self.token_id,
            "reference1": self.reference1,
        }


class InquiryRequest(CancelRequest):
    """One request for the status of a token, with a `partnerTxnUid` of its own."""

    __slots__ = ()

    def body(self, secret: str, *, at: datetime, request_dt: RequestDt) -> dict[str, str | int]:
        """Return the mandatory body fields: those of a cancel without `reference1`."""
        fields = CancelRequest.body(self, secret, at=at, request_dt=request_dt)
        del fields["reference1"]
        return fields


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """
    One entry of `tokenList`.

    The bank types `status` as an array and shows a string: both are read, as a tuple
    of words. None means that the bank sent no status at all.
    """

    token_id: str | None
    reference1: str | None
    status: tuple[str, ...] | None

    def joined_status(self) -> str | None:
        """Return the status as it is stored: its words joined by commas, bounded."""
        return None if self.status is None else ",".join(self.status)[:MAX_TEXT_LENGTH]


@dataclass(frozen=True, slots=True)
class Envelope:
    """
    The answer's fields, each None where the bank left it out or sent null.

    `short_code` is the bank's own short code, in brackets at the end of `errorDesc`.
    """

    partner_txn_uid: str | None = None
    partner_id: str | None = None
    status_code: str | None = None
    error_code: str | None = None
    error_desc: str | None = None
    tokens: tuple[TokenEntry, ...] = ()
    short_code: str | None = None

    def foreign_ids(self, request: CancelRequest) -> list[str]:
        """Return the names of echoed ids that are not ours."""
        echoes = {
            "partnerTxnUid": (self.partner_txn_uid, request.partner_txn_uid),
            "partnerId": (self.partner_id, request.partner_id),
        }
        foreign = [name for name, (echo, ours) in echoes.items() if echo not in (None, ours)]
        listed = {entry.token_id for entry in self.tokens} - {None}
        return [*foreign, "tokenId"] if listed and request.token_id not in listed else foreign

    def entries_for(self, request: CancelRequest) -> list[TokenEntry]:
        """Return the entries of `tokenList` for our token; it may list other tokens too."""
        return [entry for entry in self.tokens if entry.token_id == request.token_id]

    def status_words(self, request: CancelRequest) -> tuple[str, ...]:
        """Return every word of every status that the answer has for our token."""
        return tuple(word for entry in self.entries_for(request) for word in entry.status or ())

    def missing_ids(self) -> list[str]:
        """Return the names of ids that the answer should echo and does not."""
        echoes = {"partnerTxnUid": self.partner_txn_uid, "partnerId": self.partner_id}
        return [name for name, echo in echoes.items() if echo is None]


def read_envelope(
    body: bytes, *, inquiry: bool = False, clean: Clean = str
) -> tuple[Envelope | None, str]:
    """
    Return the bank's envelope, or None and what is wrong with the body.

    The answer to an inquiry names one token beside `paymentStatus`: it is read as a list of
    one. No detail of the payment is read: no slip, no account. A body with neither a status
    code nor an error code is not the bank's. Every text is cleaned before it is read.
    """
    document, flaw = _parsed(body)
    if flaw:
        return None, flaw
    envelope = Envelope(
        partner_txn_uid=read_text(document.get("partnerTxnUid"), clean),
        partner_id=read_text(document.get("partnerId"), clean),
        status_code=read_text(document.get("statusCode"), clean),
        error_code=read_text(document.get("errorCode"), clean),
        error_desc=read_text(document.get("errorDesc"), clean),
        tokens=_inquired(document, clean) if inquiry else _tokens(document.get("tokenList"), clean),
        short_code=read_short_code(document.get("errorDesc"), clean),
    )
    if envelope.status_code is None and envelope.error_code is None:
        return None, "the body has neither statusCode nor errorCode"
    return envelope, ""


def _parsed(body: bytes) -> tuple[dict[str, object], str]:
    """Return the body as a JSON object, or an empty object and why the body is none."""
    try:
        document = loads(body, object_pairs_hook=_unambiguous)
    except (JSONDecodeError, UnicodeDecodeError, RecursionError):
        return {}, "the body is not JSON" if body.strip() else "the body is empty"
    except _Ambiguous:
        return {}, "the body gives one name two values"
    except ValueError:  # an integer of thousands of digits
        return {}, "the body holds a number that cannot be read"
    if not isinstance(document, dict):
        return {}, "the body is not a JSON object"
    tokens = document.get("tokenList")
    if isinstance(tokens, list) and len(tokens) > MAX_TOKENS:
        return {}, f"tokenList holds more than {MAX_TOKENS} entries"
    return document, ""


class _Ambiguous(ValueError):
    """One object has two values for a name that we read."""


_NAMES_READ = frozenset(
    {"partnerTxnUid", "partnerId", "statusCode", "errorCode", "errorDesc", "tokenList"}
    | {"tokenId", "reference1", "status", "paymentStatus"}
)


def _unambiguous(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the object. Raise `_Ambiguous` if the choice between two values could decide."""
    found = dict(pairs)
    if len(found) < len(pairs) and any(
        name in _NAMES_READ and found[name] != value for name, value in pairs
    ):
        raise _Ambiguous
    return found


def _inquired(document: Mapping[str, object], clean: Clean) -> tuple[TokenEntry, ...]:
    """Read the token of an inquiry's answer; empty if it names no token."""
    token_id = read_text(document.get("tokenId"), clean)
    if token_id is None:
        return ()
    status = _statuses(document.get("paymentStatus"), clean)
    return (TokenEntry(token_id, read_text(document.get("reference1"), clean), status),)


def _tokens(entries: object, clean: Clean) -> tuple[TokenEntry, ...]:
    """Read `tokenList`; a single object is taken as a list of one."""
    listed = [entries] if isinstance(entries, dict) else entries
    if not isinstance(listed, list):
        return ()
    return tuple(
        TokenEntry(
            token_id=read_text(entry.get("tokenId"), clean),
            reference1=read_text(entry.get("reference1"), clean),
            status=_statuses(entry.get("status"), clean),
        )
        for entry in listed
        if isinstance(entry, dict)
    )


def _statuses(status: object, clean: Clean) -> tuple[str, ...] | None:
    """
    Read a status in any of its forms: string, array of strings, empty array, null.

    An item that cannot be read, or is beyond the limit, becomes a word that no dialect knows.
    If it were left out, an unclear answer could become a clear yes.
    """
    if status is None:
        return None
    listed = status if isinstance(status, list) else [status]
    words = [
        UNREADABLE if isinstance(item, bool | dict | list) else read_text(item, clean)
        for item in listed[:MAX_STATUSES]
    ]
    beyond = [UNREADABLE] if len(listed) > MAX_STATUSES else []
    return tuple(word for word in words + beyond if word is not None)


def read_short_code(error_desc: object, clean: Clean = str) -> str | None:
    """Read the short code at the end of the whole text; only its beginning is stored."""
    if not isinstance(error_desc, str):
        return None
    text = clean(error_desc.rstrip()[-_READ_LENGTH:])
    found = _SHORT_CODE.search(text.rstrip()[-MAX_TEXT_LENGTH:])
    return found.group(1) if found else None


def read_text(value: object, clean: Clean) -> str | None:
    """
    Return a scalar as stored text, bounded; None for null, empty text and structures.

    NUL and lone surrogates are valid in JSON but not in a database: they are replaced.
    """
    if value is None or isinstance(value, bool | dict | list):
        return None
    # Stripped before it is cut: a text that was cut must never equal one of our ids.
    text = clean(str(value).strip()[:_READ_LENGTH])
    return _UNSTORABLE.sub("\ufffd", text[:MAX_TEXT_LENGTH]) or None
