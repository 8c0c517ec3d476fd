"""The bank's answers as JSON, as its documentation has them, before any fault."""

from dataclasses import dataclass, field

from worker.sandbox.tokens import Token, TokenStatus

CANCEL = "cancel"
INQUIRY = "inquiry"
OTHER = "elsewhere"

# errorCode -> errorDesc, the bank's short code in brackets at its end.
ERRORS = {
    "account_error": "Account is closed. (EMAC)",
    "authentication_error": "Wrong partner key. (EMA)",
    "bad_request": "Invalid JSON. (EMBR)",
    "duplicate_request": "This request is duplicated. (EMDR)",
    "general_error": "ระบบไม่สามารถดำเนินรายการนี้ได้ กรุณาทำรายการอีกครั้งในภายหลัง (EMG)",
    "internal_error": "System unavailable. (EMIU)",
    "invalid_merchant": "Merchant ID does not exist. (EMDNE)",
    "invalid_origPartnerTxnUid": "origPartnerTxnUid does not exist. (EMITDNE)",
    "invalid_reference1": "reference1 must not be empty. (EMIR)",
    "merchant_closed": "Merchant is already closed. (EMMC)",
    "qr_cancelled": "QR is cancelled. (EMQRC)",
    "qr_expired": "QR has expired. (EMQRE)",
    "qr_paid": "QR already paid. (EMQRP)",
    "settlement_error": "Transaction is already settled (EMSET)",
}

# A slip image is large; a client that only reads the status must cope with it.
SLIP_IMAGE = "iVBORw0KGgo" + "A" * 199_988 + "="


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks for, as far as it could be read. Its `repr` never shows the secret."""

    operation: str
    partner_txn_uid: str = ""
    partner_id: str = ""
    token_id: str = ""
    reference1: str = ""
    secret: str = field(default="", repr=False)


@dataclass(slots=True)
class Draft:
    """An answer before it is sent; shapes change it."""

    call: Call
    answer: dict[str, object]
    http_status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    # Bytes that are sent instead of the JSON.
    raw: bytes | None = None

    def summary(self) -> dict[str, object] | None:
        """Return what the journal keeps: the codes and the token's status."""
        if self.raw is not None:
            return None
        return {
            "statusCode": self.answer.get("statusCode"),
            "errorCode": self.answer.get("errorCode"),
            "status": status_in(self.answer),
        }


def status_in(answer: dict[str, object]) -> object:
    """Return the token's status in either kind of answer."""
    listed = answer.get("tokenList")
    if isinstance(listed, list) and listed and isinstance(listed[0], dict):
        return listed[0].get("status")
    return answer.get("paymentStatus")


def refusal(call: Call, error_code: str, *, desc: str | None = None) -> dict[str, object]:
    """Return an answer with an error code."""
    if desc is None:
        desc = ERRORS.get(error_code, f"{error_code} is what the bank says.")
    return _envelope(call, "10", error_code, desc) | {"tokenList": []}


def cancelled(call: Call, status: str) -> dict[str, object]:
    """Return the answer to a cancel, with the token and its status in the list."""
    listed = {"tokenId": call.token_id, "reference1": call.reference1, "status": status}
    return _envelope(call, "00", None, None) | {"tokenList": [listed]}


def inquired(call: Call, token: Token) -> dict[str, object]:
    """Return the answer to an inquiry: the token's status, and all details of a payment."""
    paid = token.status is TokenStatus.PAID
    paid_at = int(token.changed_at or token.born_at)
    return _envelope(call, "00", None, None) | {
        "paymentStatus": token.status.value,
        "paymentTimeStamp": paid_at if paid else None,
        "paymentRefernceId": f"PMT{paid_at}" if paid else None,
        "slipImage": SLIP_IMAGE if paid else None,
        "paymentAccount": "xxx-x-x1234-x" if paid else None,
        "paymentDt": paid_at if paid else None,
        "reference1": token.reference1,
        "reference2": "",
        "totalAmount": 500,
        "currencyCode": "THB",
        "currencyExponent": None,
        "tokenId": call.token_id,
        "additionalInfo1": None,
        "additionalInfo2": None,
        "additionalInfo3": None,
    }


def _envelope(
    call: Call, status_code: str, error_code: str | None, desc: str | None
) -> dict[str, object]:
    return {
        "partnerTxnUid": call.partner_txn_uid,
        "partnerId": call.partner_id,
        "statusCode": status_code,
        "errorCode": error_code,
        "errorDesc": desc,
    }
