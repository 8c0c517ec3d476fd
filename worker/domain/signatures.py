"""
Signatures by the Standard Webhooks specification, version 1. Pure: the time is an argument.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Final

PREFIX: Final = "whsec_"
KEY_BYTES: Final = range(24, 65)
"""The allowed lengths of a key, by the specification."""
HOW_TO: Final = f"{PREFIX} and the base64 of 24 to 64 random bytes"


def read_key(secret: str) -> bytes:
    """Return the key that a secret encodes. Raises ValueError, which never shows the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        raise ValueError(f"must be {HOW_TO}") from None
    if not secret.startswith(PREFIX) or len(key) not in KEY_BYTES:
        raise ValueError(f"must be {HOW_TO}")
    return key


def headers(keys: Iterable[bytes], *, event_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the three headers of a webhook, with one signature for each key."""
    timestamp = str(int(at.timestamp()))
    signed = b".".join((event_id.encode(), timestamp.encode(), body))
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(key, signed) for key in keys),
    }


def _signature(key: bytes, signed: bytes) -> str:
    return f"v1,{base64.b64encode(hmac.digest(key, signed, sha256)).decode()}"
