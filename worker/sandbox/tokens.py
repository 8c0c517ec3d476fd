"""The tokens of the simulated bank: the status of each, and how often it was cancelled."""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum


class TokenStatus(StrEnum):
    """The status of a token, in the bank's own words."""

    PAYABLE = "REQUESTED"
    PAID = "PAID"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    NOT_FOUND = "NOT_FOUND"


@dataclass(slots=True)
class Token:
    """One token: payable at first, then cancelled, paid or expired for ever."""

    token_id: str
    status: TokenStatus
    born_at: float
    reference1: str | None = None
    expires_at: float | None = None
    changed_at: float | None = None
    effects: int = 0

    def as_json(self) -> dict[str, object]:
        """Return the token as the control API shows it."""
        shown = asdict(self)
        return {"tokenId": shown.pop("token_id"), "status": self.status.value} | {
            key: value for key, value in shown.items() if key != "status"
        }


class Ledger:
    """All tokens that a request has named. Only a payable token changes, and only once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: dict[str, Token] = {}
        self._released: set[str] = set()

    def open(
        self,
        token_id: str,
        *,
        status: TokenStatus = TokenStatus.PAYABLE,
        lifetime: float | None = None,
        reference1: str | None = None,
    ) -> Token:
        """Return a copy of the token; one that is new gets this status."""
        with self._lock:
            token = self._tokens.get(token_id)
            if token is None:
                now = self._clock()
                expires_at = None if lifetime is None else now + lifetime
                token = Token(token_id, status, now, expires_at=expires_at)
                self._tokens[token_id] = token
            token.reference1 = reference1 or token.reference1
            return replace(self._expired_if_due(token))

    def find(self, token_id: str) -> Token | None:
        """Return a copy of the token, or None if no request has named it."""
        with self._lock:
            token = self._tokens.get(token_id)
            return None if token is None else replace(self._expired_if_due(token))

    def cancel(self, token_id: str) -> tuple[TokenStatus, bool]:
        """Cancel a payable token; return its status, and whether this call changed it."""
        return self._move(token_id, TokenStatus.CANCELLED)

    def pay(self, token_id: str) -> tuple[TokenStatus, bool]:
        """Pay a payable token as the customer."""
        return self._move(token_id, TokenStatus.PAID)

    def expire(self, token_id: str) -> tuple[TokenStatus, bool]:
        """End the time in which the token could be paid."""
        return self._move(token_id, TokenStatus.EXPIRED)

    def release(self, token_id: str) -> None:
        """Release every POST that is held for this token, now and later."""
        with self._lock:
            self._released.add(token_id)

    def released(self, token_id: str) -> bool:
        """Say whether POSTs held for this token may continue."""
        return token_id in self._released

    def effects(self) -> dict[str, int]:
        """Return how often each cancelled token was cancelled: never more than once."""
        with self._lock:
            return {key: token.effects for key, token in self._tokens.items() if token.effects}

    def statuses(self) -> dict[str, int]:
        """Return the number of tokens in each status."""
        with self._lock:
            found = [self._expired_if_due(token).status for token in self._tokens.values()]
        return {status.value: found.count(status) for status in TokenStatus}

    def clear(self) -> None:
        """Delete every token."""
        with self._lock:
            self._tokens.clear()
            self._released.clear()

    def _move(self, token_id: str, status: TokenStatus) -> tuple[TokenStatus, bool]:
        with self._lock:
            token = self._expired_if_due(self._tokens[token_id])
            if token.status is not TokenStatus.PAYABLE:
                return token.status, False
            token.status, token.changed_at = status, self._clock()
            token.effects += status is TokenStatus.CANCELLED
            return status, True

    def _expired_if_due(self, token: Token) -> Token:
        end = token.expires_at
        if token.status is TokenStatus.PAYABLE and end is not None and end <= self._clock():
            token.status, token.changed_at = TokenStatus.EXPIRED, end
        return token
