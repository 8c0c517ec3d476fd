"""Reads a POST as strictly as the bank's documentation demands, and checks its credentials."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from hmac import compare_digest

from worker.sandbox.answers import CANCEL, INQUIRY, OTHER, Call
from worker.sandbox.rules import Rules
from worker.sandbox.wire import Request, json_object

OPERATIONS = {
    "/v1/kplus/payment/cancel-token": CANCEL,
    "/v1/kplus/payment/inquire-token": INQUIRY,
}
_MANDATORY = ("partnerTxnUid", "partnerId", "partnerSecret", "requestDt", "tokenId")
_MAX_LENGTH_KEPT = 200
_BANGKOK = timezone(timedelta(hours=7))
_FIRST_MS = 10**11
_END_OF_MS = 10**14


class InvalidRequest(Exception):
    """The request is not as documented; `error_code` is that of the answer."""

    def __init__(self, error_code: str, desc: str) -> None:
        super().__init__(error_code)
        self.error_code = error_code
        self.desc = desc


def body_of(request: Request) -> dict[str, object]:
    """Return the JSON object of the body, or an empty one if it is none."""
    return json_object(request.body) or {}


def call_of(request: Request, body: Mapping[str, object]) -> Call:
    """Return what the request asks for, valid or not, as far as it can be read."""
    return Call(
        operation=OPERATIONS.get(request.path, OTHER),
        partner_txn_uid=_text(body, "partnerTxnUid"),
        partner_id=_text(body, "partnerId"),
        token_id=_text(body, "tokenId"),
        reference1=_text(body, "reference1"),
        secret=_text(body, "partnerSecret"),
    )


def without_secrets(call: Call, request: Request, known: Mapping[str, str] | None) -> Call:
    """Return the call without secrets, also those in fields where none belongs."""
    sent = {call.secret, request.headers.get("partner-secret", ""), *(known or {}).values()}
    secrets = [secret for secret in sent if secret]

    def clean(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "[secret]")
        return text[:_MAX_LENGTH_KEPT]

    return Call(
        call.operation,
        clean(call.partner_txn_uid),
        clean(call.partner_id),
        clean(call.token_id),
        clean(call.reference1),
    )


def check_shape(
    request: Request, body: Mapping[str, object], *, operation: str, rules: Rules, now: float
) -> None:
    """Raise `InvalidRequest` unless headers and body have all mandatory fields."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidRequest("bad_request", "content-type must be application/json. (EMBR)")
    if not body:
        raise InvalidRequest("bad_request", "Invalid JSON. (EMBR)")
    for header in ("Partner-Id", "Partner-Secret"):
        if not request.headers.get(header.lower()):
            raise InvalidRequest("bad_request", f"Header {header} must not be empty. (EMBR)")
    for name in (*_MANDATORY, *(("reference1",) if operation == CANCEL else ())):
        if name != "requestDt" and not _text(body, name):
            raise InvalidRequest(f"invalid_{name}", f"{name} must not be empty.")
    if rules.longest_uid is not None and len(_text(body, "partnerTxnUid")) > rules.longest_uid:
        raise InvalidRequest("invalid_partnerTxnUid", "partnerTxnUid is too long.")
    _check_time(body.get("requestDt"), rules, now)


def check_credentials(
    request: Request, body: Mapping[str, object], secrets: Mapping[str, str] | None
) -> bool:
    """Say whether header and body agree, and hold the credentials that the bank expects."""
    partner_id, secret = _text(body, "partnerId"), _text(body, "partnerSecret")
    agree = _same(partner_id, request.headers.get("partner-id", ""))
    agree &= _same(secret, request.headers.get("partner-secret", ""))
    if secrets is None:
        return agree
    return agree and partner_id in secrets and _same(secret, secrets[partner_id])


def _check_time(value: object, rules: Rules, now: float) -> None:
    kind, moment = _moment(value)
    if kind not in rules.request_dt:
        raise InvalidRequest("invalid_requestDt", "requestDt is not in the agreed form.")
    skew = rules.clock_skew_seconds
    if skew is not None and abs(moment - now) > skew:
        raise InvalidRequest("invalid_requestDt", "requestDt is too far from the bank's time.")


def _moment(value: object) -> tuple[str, float]:
    if isinstance(value, str):
        try:
            written = datetime.fromisoformat(value)
        except ValueError:
            return "", 0.0
        aware = written if written.tzinfo else written.replace(tzinfo=_BANGKOK)
        return "iso8601", aware.timestamp()
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _END_OF_MS:
        return "", 0.0
    return ("unix", float(value)) if value < _FIRST_MS else ("unix_ms", value / 1000)


def _text(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _same(one: str, other: str) -> bool:
    return compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))
