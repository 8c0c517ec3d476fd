"""
Cancel orders as producers send them: read strictly, with errors that say what to change.

A whole order names the token; a hint names only a job whose row exists already.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Self, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)

from worker.domain.validation import IDENTIFIER, error_lines
from worker.errors import InvalidOrder

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
MAX_UID_LENGTH = 64

_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")
_NO_INSTANT = "must be Unix seconds or ISO 8601 with an offset"
_OUT_OF_RANGE = "must lie between the years 2000 and 2100"

Model = TypeVar("Model", bound="Hint")


def _printable(text: str) -> str:
    if not text.isprintable() or not text.strip():
        message = "must be printable text, not blank and without control characters"
        raise ValueError(message)
    return text


def _storable(text: str) -> str:
    if "\0" in text:
        message = "must hold no NUL: no text of a database does"
        raise ValueError(message)
    return text


def _instant(value: object) -> datetime:
    """Read Unix seconds or ISO 8601 with an offset, as aware UTC."""
    if isinstance(value, str):
        instant = _from_text(value.strip())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        instant = _from_seconds(value)
    elif isinstance(value, Decimal):
        instant = _from_seconds(float(value))
    elif isinstance(value, datetime):
        instant = value
    else:
        raise ValueError(_NO_INSTANT)  # noqa: TRY004 - pydantic collects no TypeError
    if instant.utcoffset() is None:
        message = "must carry an offset, such as Z or +07:00"
        raise ValueError(message)
    if not EARLIEST <= instant <= LATEST:
        raise ValueError(_OUT_OF_RANGE)
    return instant.astimezone(UTC)


def _from_text(text: str) -> datetime:
    # ASCII digits only: float() refuses some other digits, and its error quotes them.
    if _SECONDS.fullmatch(text):
        return _from_seconds(float(text))
    if "\0" in text:  # fromisoformat() reads only what stands before it
        raise ValueError(_NO_INSTANT)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_NO_INSTANT) from None


def _from_seconds(seconds: float) -> datetime:
    # Compared before the conversion, which fails beyond these bounds.
    if seconds < EARLIEST.timestamp():
        raise ValueError(_OUT_OF_RANGE)
    if seconds <= LATEST.timestamp():
        return datetime.fromtimestamp(seconds, tz=UTC)
    message = "must be Unix seconds (milliseconds are too large)"
    raise ValueError(message)


Identifier = Annotated[str, Field(strict=True, min_length=1, max_length=128, pattern=IDENTIFIER)]
StoredText = Annotated[str, Field(strict=True, min_length=1), AfterValidator(_storable)]
ShortId = Annotated[str, Field(strict=True, min_length=1, max_length=64, pattern=IDENTIFIER)]
Text = Annotated[str, Field(strict=True, min_length=1, max_length=128), AfterValidator(_printable)]
_INSTANT_ON_THE_WIRE = {
    "description": _NO_INSTANT,
    "anyOf": [
        {"type": "number", "minimum": EARLIEST.timestamp(), "maximum": LATEST.timestamp()},
        {"type": "string", "minLength": 1},
    ],
}
Instant = Annotated[
    datetime, BeforeValidator(_instant), WithJsonSchema(_INSTANT_ON_THE_WIRE, mode="validation")
]


class _Message(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        validate_by_name=True,
        validate_by_alias=True,
    )


class Hint(_Message):
    """
    A message about a job whose row is expected to exist.

    Its uid is only looked up, so it is any text that a row may hold: a row that came past the
    orders, or was stored under another `KPLUS_UID_LENGTH`, is found as well.
    """

    partner_txn_uid: StoredText = Field(validation_alias="partnerTxnUid")


class Order(Hint):
    """
    What is to be cancelled. `partner_id` is None if the producer left it out.

    Both spellings are read: the message's (`partnerTxnUid`) and ours (`partner_txn_uid`).
    """

    partner_txn_uid: ShortId = Field(validation_alias="partnerTxnUid")
    token_id: Identifier = Field(validation_alias="tokenId")
    reference1: Text
    partner_id: ShortId | None = Field(default=None, validation_alias="partnerId")
    expires_at: Instant | None = Field(default=None, validation_alias="expiresAt")

    def of(self, partner_id: str) -> Self:
        """Return the order with this partner."""
        if self.partner_id == partner_id:
            return self
        return self.model_copy(update={"partner_id": partner_id})

    def row(self) -> dict[str, object]:
        """Return the order as the parameters of the store."""
        return {
            "uid": self.partner_txn_uid,
            "partner_id": self.partner_id,
            "token_id": self.token_id,
            "reference1": self.reference1,
            "expires_at": self.expires_at,
        }


def read_message(kwargs: Mapping[str, object], *, uid_length: int = MAX_UID_LENGTH) -> Order | Hint:
    """
    Read the keyword arguments of a `kplus.cancel_token` message.

    Unknown keys and nulls are ignored. Celery's clients may write a UUID as one, and seconds as
    a Decimal. Raises `InvalidOrder`, which names every key that is wrong.
    """
    fields = {key: _plain(kwargs[key]) for key in _KEYS if kwargs.get(key) is not None}
    if fields.keys() == {"partnerTxnUid"}:
        return _read(Hint, fields)
    return read_order(fields, uid_length=uid_length)


def _plain(value: object) -> object:
    """Return a UUID as the text that every other client would have written."""
    return str(value) if isinstance(value, UUID) else value


def read_order(fields: Mapping[str, object], *, uid_length: int = MAX_UID_LENGTH) -> Order:
    """Read a whole order. Raises `InvalidOrder`, which names every key that is wrong."""
    order = _read(Order, fields)
    if len(order.partner_txn_uid) > uid_length:
        text = f"partnerTxnUid: must have at most {uid_length} characters (KPLUS_UID_LENGTH)"
        raise InvalidOrder(text)
    return order


def _read(model: type[Model], fields: Mapping[str, object]) -> Model:
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        raise InvalidOrder("; ".join(error_lines(error))) from None


_KEYS = ("partnerTxnUid", "tokenId", "reference1", "partnerId", "expiresAt")
