"""Messages that nobody should send: each with the reason and the words under which it is kept."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from celery import Celery
from redis import Redis

from worker.broker.app import CANCEL_QUEUE, CANCEL_TOKEN

PARTNER = "KP2XXX000033159"
STORED = {
    "partnerTxnUid": "STORED",
    "tokenId": "ok-stored",
    "reference1": "R",
    "partnerId": PARTNER,
}
"""A good order, sent before: what conflicts, conflicts with this."""

Send = Callable[[Celery, "Redis", str], object]


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent (it carries `trace`), the reason it is kept for, the words of its detail."""

    send: Send
    reason: str
    says: tuple[str, ...] = ()
    exact: str | None = None
    """The whole body as it is kept, where there is no room for a trace."""


def _kwargs(reason: str, says: str, given: dict[str, Any], args: tuple[Any, ...] = ()) -> Message:
    def send(app: Celery, _client: "Redis", trace: str) -> object:
        kwargs = {"trace": trace} | given  # first: what is kept is cut at its end
        return app.send_task(CANCEL_TOKEN, args=args, kwargs=kwargs, queue=CANCEL_QUEUE)

    return Message(send, reason, tuple(says.split("|")))


def _order(says: str, reason: str = "invalid_fields", /, **changes: Any) -> Message:
    """Return a whole order with changes; `...` leaves a key out."""
    whole = {"partnerTxnUid": "BAD", "tokenId": "ok-bad", "reference1": "R", "partnerId": PARTNER}
    given = {key: value for key, value in (whole | changes).items() if value is not ...}
    return _kwargs(reason, says, given)


def _uid(value: Any) -> Message:
    return _order("partnerTxnUid", partnerTxnUid=value)


def _token(value: Any) -> Message:
    return _order("tokenId", tokenId=value)


def _reference(value: Any) -> Message:
    return _order("reference1", reference1=value)


def _partner(value: Any) -> Message:
    return _order("partnerId", partnerId=value)


def _expiry(value: Any, says: str = "must") -> Message:
    return _order(f"expiresAt|{says}", expiresAt=value)


def _hint(uid: Any, reason: str = "invalid_fields") -> Message:
    return _kwargs(reason, "partnerTxnUid", {"partnerTxnUid": uid})


def _conflict(**changes: str) -> Message:
    return _kwargs("conflict", "partnerTxnUid", STORED | changes)


def _raw(reason: str, says: str, item: bytes, exact: str | None = None) -> Message:
    """Return an item pushed into the Redis list as it is; `TRACE` in it becomes the trace."""

    def send(_app: Celery, client: "Redis", trace: str) -> object:
        return client.lpush(CANCEL_QUEUE, item.replace(b"TRACE", trace.encode()))

    return Message(send, reason, tuple(says.split("|")), exact)


def _body(
    reason: str, says: str, body: str, exact: str | None = None, /, **changes: Any
) -> Message:
    """Return an envelope as Celery writes it, with such a body and other changes."""
    headers = {"lang": "py", "task": CANCEL_TOKEN, "id": str(uuid4())} | changes.pop("headers", {})

    def send(_app: Celery, client: "Redis", trace: str) -> object:
        packed = base64.b64encode(body.replace("TRACE", trace).encode()).decode()
        item = {
            "body": packed,
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": headers,
            "properties": {"body_encoding": "base64", "delivery_tag": str(uuid4())},
        }
        return client.lpush(CANCEL_QUEUE, json.dumps(item | changes))

    return Message(send, reason, tuple(says.split("|")), exact)


_WELL_FORMED = json.dumps([[], {"partnerTxnUid": "TRACE"}, {}])
_PROTOCOL_1 = json.dumps({"task": CANCEL_TOKEN, "id": "1", "args": [], "kwargs": {"a": "TRACE"}})

MESSAGES: dict[str, Message] = {
    # The uid.
    "no uid": _order("partnerTxnUid", partnerTxnUid=...),
    "a uid of null": _uid(None),
    "an empty uid": _uid(""),
    "a blank uid": _uid("   "),
    "a uid too long": _uid("U" * 65),
    "an endless uid": _uid("U" * 20_000),
    "a number as uid": _uid(103),
    "a truth as uid": _uid(True),  # noqa: FBT003 - the value is what is tried
    "a list as uid": _uid(["UID"]),
    "an object as uid": _uid({"uid": "UID"}),
    "a uid with a blank": _uid("UID 1"),
    "a uid with a line break": _uid("UID\n"),
    "a uid with a NUL": _uid("UID\0"),
    "a uid with an escape": _uid("\x1b[31mUID"),
    "a Thai uid": _uid("คำสั่งซื้อ"),
    "half a character in the uid": _uid("UID\ud83d"),
    # The token.
    "no token": _order("tokenId", tokenId=...),
    "an empty token": _token(""),
    "a token too long": _token("T" * 129),
    "a number as token": _token(5),
    "a list as token": _token([]),
    "a token with a blank": _token("T 1"),
    "a token with a NUL": _token("T\0"),
    "half a character in the token": _token("T\udc00"),
    # The reference.
    "no reference": _order("reference1", reference1=...),
    "a reference of null": _reference(None),
    "an empty reference": _reference(""),
    "a blank reference": _reference(" \t "),
    "a reference too long": _reference("R" * 129),
    "a number as reference": _reference(1.5),
    "an object as reference": _reference({}),
    "a reference of two lines": _reference("R\n1"),
    "a reference with a NUL": _reference("R\0"),
    "half a character in the reference": _reference("R\ud83d"),
    # The partner.
    "an empty partner": _partner(""),
    "a partner too long": _partner("P" * 65),
    "a number as partner": _partner(2),
    "a partner with a blank": _partner("KP 2"),
    "a partner with a NUL": _partner("KP\0"),
    "no partner, where there are two": _order("partnerId|OTHER", "missing_partner", partnerId=...),
    # The expiry.
    "an empty expiry": _expiry(""),
    "an expiry in words": _expiry("tomorrow"),
    "an expiry without offset": _expiry("2026-11-22T12:00:00", "offset"),
    "an expiry of a day": _expiry("2026-11-22", "offset"),
    "an expiry on no calendar": _expiry("2026-02-30T00:00:00Z"),
    "an expiry of an odd offset": _expiry("2026-11-22T12:00:00+99:00"),
    "an expiry in milliseconds": _expiry(1_795_000_000_000, "milliseconds"),
    "an expiry before this century": _expiry(-1),
    "an expiry in the next century": _expiry("2101-01-01T00:00:00Z"),
    "an expiry that is no number": _expiry(float("nan")),
    "an expiry without end": _expiry(float("inf")),
    "an expiry of 400 digits": _expiry("9" * 400),
    "an expiry in Thai digits": _expiry("๑๗๙๕๐๐๐๐๐๐"),
    "an expiry with a NUL": _expiry("2026-11-22T12:00:00Z\0"),
    "half a character as expiry": _expiry("\ud83d"),
    "a truth as expiry": _expiry(True),  # noqa: FBT003 - the value is what is tried
    "a list as expiry": _expiry([1_795_000_000]),
    "an object as expiry": _expiry({"$date": 1}),
    # The message as a whole.
    "nothing": _kwargs("invalid_fields", "partnerTxnUid|tokenId|reference1", {}),
    "our own spelling": _kwargs(
        "invalid_fields", "partnerTxnUid", {"partner_txn_uid": "U", "token_id": "T"}
    ),
    "a secret and no more": _kwargs("invalid_fields", "partnerTxnUid", {"partnerSecret": "hidden"}),
    "a secret in a faulty order": _order("tokenId", tokenId=..., partnerSecret="hidden"),
    "everything wrong at once": _order(
        "partnerTxnUid|tokenId|reference1|partnerId|expiresAt",
        partnerTxnUid=1,
        tokenId=2,
        reference1=3,
        partnerId=4,
        expiresAt="x",
    ),
    "positional arguments": _kwargs(
        "invalid_fields", "partnerTxnUid|positional", {}, ("UID", "ok-1", "R")
    ),
    # Hints.
    "a hint for an unknown uid": _hint("UNKNOWN", "unknown_job"),
    "a hint with an empty uid": _hint(""),
    "a hint with a number": _hint(7),
    "a hint with a NUL": _hint("U\0"),
    "a hint with half a character": _hint("U\udfff"),
    "a hint longer than any uid": _hint("U" * 65, "unknown_job"),
    # Conflicts.
    "another token under a stored uid": _conflict(tokenId="ok-other"),
    "another reference under a stored uid": _conflict(reference1="S"),
    "another partner under a stored uid": _conflict(partnerId="OTHER"),
    # What is no message for us.
    "garbage": _raw("not_json", "Error", b"garbage TRACE"),
    "bytes": _raw("not_json", "Unicode", b"\xff\xfe TRACE"),
    "a number in the queue": _raw("no_envelope", "int", b"5", "5"),
    "lists in the queue": _raw("no_envelope", "list", b"[[]]", "[[]]"),
    "an object in the queue": _raw("no_envelope", "properties", b'{"trace": "TRACE"}'),
    "a body of 5": _body("wrong_shape", "body", "5", "5"),
    "a body of [[]]": _body("wrong_shape", "body", "[[]]", "[[]]"),
    "a body that is no JSON": _body("not_json", "Error", "{TRACE"),
    "kwargs in a list": _body("wrong_shape", "kwargs", '[[], ["TRACE"], {}]'),
    "another content type": _body(
        "wrong_content_type", "yaml", _WELL_FORMED, **{"content-type": "application/x-yaml"}
    ),
    "another character set": _body(
        "bad_encoding", "utf-8", _WELL_FORMED, **{"content-encoding": "utf-16"}
    ),
    "an unknown task": _body(
        "unknown_task", "task", _WELL_FORMED, headers={"task": "kplus.cancel_tokens"}
    ),
    "no task": _body("bad_headers", "task", _WELL_FORMED, headers={"task": None}),
    "no id": _body("bad_headers", "id", _WELL_FORMED, headers={"id": None}),
    "protocol 1": _body("old_protocol", "protocol", _PROTOCOL_1, headers={"task": None}),
}
