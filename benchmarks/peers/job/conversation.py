"""What is asked of the bank, and what is read of its answer: as the bare Celery task does it."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import httpx

TIMEOUT = 15.0
SECRET = "c2VjcmV0LW9mLWEtYmVuY2htYXJr"  # noqa: S105 -- the stub takes any


@dataclass(frozen=True, slots=True)
class Request:
    """A claimed order."""

    uid: str
    partner_id: str
    token_id: str
    reference1: str

    @property
    def headers(self) -> dict[str, str]:
        """Whose order it is."""
        return {"Partner-Id": self.partner_id, "Partner-Secret": SECRET}

    @property
    def body(self) -> dict[str, Any]:
        """The order, in the bank's words."""
        return {
            "partnerTxnUid": self.uid,
            "partnerId": self.partner_id,
            "partnerSecret": SECRET,
            "requestDt": int(time.time()),
            "tokenId": self.token_id,
            "reference1": self.reference1,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What is stored of a conversation."""

    started_at: datetime
    http_status: int
    status_code: str
    token_id: str
    token_status: str

    @classmethod
    def read(cls, response: httpx.Response, started_at: datetime) -> Self:
        """Return what an answer says; raise if it is not a good one."""
        response.raise_for_status()
        told = response.json()
        (token,) = told["tokenList"]
        return cls(
            started_at, response.status_code, told["statusCode"], token["tokenId"], token["status"]
        )

    def columns(self) -> dict[str, Any]:
        """Return it by the names of the statement that settles."""
        return {
            "started_at": self.started_at,
            "http_status": self.http_status,
            "status_code": self.status_code,
            "token_id": self.token_id,
            "token_status": self.token_status,
        }


def pool_limits(concurrency: int) -> httpx.Limits:
    """Return the limits of the client's pool, the same for everybody."""
    return httpx.Limits(max_connections=concurrency)


def now() -> datetime:
    """Return the time that an attempt begins at."""
    return datetime.now(UTC)
