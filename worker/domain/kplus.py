"""
The bank's words: requests written exactly, answers read liberally.

Only this module spells names as the bank does. Sources: the bank's cancel-token
page (docs/reference/bank.md, "The contract") and the public pages of the same product family.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from json import JSONDecodeError, loads
from typing import Any, Self

from worker.domain.retry_after import read_retry_after

BANGKOK = timezone(timedelta(hours=7))
SUCCESS = "00"
LONGEST_WORD = 200
MOST_TOKENS = 100
MOST_STATUSES = 10
UNREADABLE = "\ufffd"
EPOCH = datetime.fromtimestamp(0, tz=UTC)

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_SHORT_CODE = re.compile(r"[(\[]\s*([A-Za-z0-9_-]{2,35})\s*[)\]]\s*\.?\s*$")


class RequestDt(StrEnum):
    """How `requestDt` is written: the seed says Unix seconds, the bank's examples differ."""

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
    """One request to take a token back."""

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

    def body(self, secret: str, *, at: datetime, request_dt: RequestDt) -> dict[str, Any]:
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
    """One request to say what became of a token, under a `partnerTxnUid` of its own."""

    __slots__ = ()

    def body(self, secret: str, *, at: datetime, request_dt: RequestDt) -> dict[str, Any]:
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

    def written(self) -> str | None:
        """Return the status as it is stored: the words, joined by commas, bounded."""
        return None if self.status is None else ",".join(self.status)[:LONGEST_WORD]


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
        """Return the names of echoed ids that are present and not ours."""
        echoes = {
            "partnerTxnUid": (self.partner_txn_uid, request.partner_txn_uid),
            "partnerId": (self.partner_id, request.partner_id),
        }
        foreign = [name for name, (echo, ours) in echoes.items() if echo not in (None, ours)]
        listed = {entry.token_id for entry in self.tokens} - {None}
        return [*foreign, "tokenId"] if listed and request.token_id not in listed else foreign

    def ours(self, request: CancelRequest) -> list[TokenEntry]:
        """Return what `tokenList` says of our token; other tokens may stand beside it."""
        return [entry for entry in self.tokens if entry.token_id == request.token_id]

    def words(self, request: CancelRequest) -> tuple[str, ...]:
        """Return every status word that the answer has for our token."""
        return tuple(word for entry in self.ours(request) for word in entry.status or ())

    def missing_ids(self) -> list[str]:
        """Return the names of ids that the answer should echo and does not."""
        echoes = {"partnerTxnUid": self.partner_txn_uid, "partnerId": self.partner_id}
        return [name for name, echo in echoes.items() if echo is None]


@dataclass(frozen=True, slots=True)
class Answer:
    """
    An HTTP answer that arrived whole.

    `envelope` is None where the body is not the bank's; `flaw` then says why.
    """

    http_status: int
    envelope: Envelope | None = None
    flaw: str = ""
    retry_after: timedelta | None = None

    @classmethod
    def read(
        cls,
        *,
        http_status: int,
        headers: Mapping[str, str],
        body: bytes,
        at: datetime,
        inquiry: bool = False,
    ) -> Self:
        """Read an answer whose body arrived whole, uncompressed and within the size limit."""
        envelope, flaw = read_envelope(body, inquiry=inquiry)
        waits = read_retry_after(headers.get("retry-after"), at=at)
        return cls(http_status, envelope, flaw, waits)


def read_envelope(body: bytes, *, inquiry: bool = False) -> tuple[Envelope | None, str]:
    """
    Return the bank's envelope, or None and what is wrong with the body.

    An inquiry's answer names its one token beside `paymentStatus`: it is read as a list
    of one. Of the payment itself nothing is read: no slip, no account. Anything that
    carries neither a status code nor an error code is not the bank's.
    """
    document, flaw = _document(body)
    if flaw:
        return None, flaw
    envelope = Envelope(
        partner_txn_uid=_word(document.get("partnerTxnUid")),
        partner_id=_word(document.get("partnerId")),
        status_code=_word(document.get("statusCode")),
        error_code=_word(document.get("errorCode")),
        error_desc=_word(document.get("errorDesc")),
        tokens=_inquired(document) if inquiry else _tokens(document.get("tokenList")),
        short_code=read_short_code(document.get("errorDesc")),
    )
    if envelope.status_code is None and envelope.error_code is None:
        return None, "the body has neither statusCode nor errorCode"
    return envelope, ""


def _document(body: bytes) -> tuple[dict[str, Any], str]:
    """Return the JSON object that the body is, or an empty one and why it is none."""
    try:
        document = loads(body, object_pairs_hook=_object)
    except (JSONDecodeError, UnicodeDecodeError, RecursionError):
        return {}, "the body is not JSON" if body.strip() else "the body is empty"
    except _TwoValues:
        return {}, "the body gives one name two values"
    except ValueError:  # an integer of thousands of digits
        return {}, "the body holds a number that cannot be read"
    if not isinstance(document, dict):
        return {}, "the body is not a JSON object"
    tokens = document.get("tokenList")
    if isinstance(tokens, list) and len(tokens) > MOST_TOKENS:
        return {}, f"tokenList holds more than {MOST_TOKENS} entries"
    return document, ""


class _TwoValues(ValueError):
    """A name that we read stands twice in one object, with two values."""


_READ = frozenset(
    {"partnerTxnUid", "partnerId", "statusCode", "errorCode", "errorDesc", "tokenList"}
    | {"tokenId", "reference1", "status", "paymentStatus"}
)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object, but choose none of two values where the choice could decide."""
    found = dict(pairs)
    if len(found) < len(pairs) and any(
        name in _READ and found[name] != value for name, value in pairs
    ):
        raise _TwoValues
    return found


def _inquired(document: Mapping[str, Any]) -> tuple[TokenEntry, ...]:
    """Read what an inquiry says of its token; none where it names no token."""
    token_id = _word(document.get("tokenId"))
    if token_id is None:
        return ()
    status = _statuses(document.get("paymentStatus"))
    return (TokenEntry(token_id, _word(document.get("reference1")), status),)


def _tokens(entries: Any) -> tuple[TokenEntry, ...]:
    """Read `tokenList`; a single object is taken as a list of one."""
    listed = [entries] if isinstance(entries, dict) else entries
    if not isinstance(listed, list):
        return ()
    return tuple(
        TokenEntry(
            token_id=_word(entry.get("tokenId")),
            reference1=_word(entry.get("reference1")),
            status=_statuses(entry.get("status")),
        )
        for entry in listed
        if isinstance(entry, dict)
    )


def _statuses(status: Any) -> tuple[str, ...] | None:
    """
    Read a status in any of its forms: string, array of strings, empty array, null.

    What cannot be read, or stands beyond the bound, is kept as a word that no dialect
    knows: left out, it could make a clear yes of an answer that is none.
    """
    if status is None:
        return None
    listed = status if isinstance(status, list) else [status]
    words = [
        UNREADABLE if isinstance(item, bool | dict | list) else _word(item)
        for item in listed[:MOST_STATUSES]
    ]
    beyond = [UNREADABLE] if len(listed) > MOST_STATUSES else []
    return tuple(word for word in words + beyond if word is not None)


def read_short_code(error_desc: Any) -> str | None:
    """Look at the end of what the bank sent: of a long text we keep only the beginning."""
    if not isinstance(error_desc, str):
        return None
    found = _SHORT_CODE.search(error_desc.rstrip()[-LONGEST_WORD:])
    return found.group(1) if found else None


def _word(value: Any) -> str | None:
    """
    Return a scalar as stored text, bounded; None for null, empty text and structures.

    NUL and lone surrogates, which JSON can carry and a database cannot, are replaced.
    """
    if value is None or isinstance(value, bool | dict | list):
        return None
    # Stripped before it is cut: a cut word must never come out equal to one of ours.
    return _UNSTORABLE.sub("\ufffd", str(value).strip()[:LONGEST_WORD]) or None
