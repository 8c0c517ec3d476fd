"""The tokens of the simulated bank: each has one life, and its effects are counted."""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum


class Life(StrEnum):
    """Where a token stands, in the bank's own words."""

    PAYABLE = "REQUESTED"
    PAID = "PAID"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    NOT_FOUND = "NOT_FOUND"


@dataclass(slots=True)
class Token:
    """One token: payable at first, then cancelled, paid or expired, and that for ever."""

    token_id: str
    life: Life
    born_at: float
    reference1: str | None = None
    expires_at: float | None = None
    changed_at: float | None = None
    effects: int = 0

    def as_json(self) -> dict[str, object]:
        """Return the token as the control interface shows it."""
        shown = asdict(self)
        return {"tokenId": shown.pop("token_id"), "status": self.life.value} | {
            key: value for key, value in shown.items() if key != "life"
        }


class Ledger:
    """Every token the bank has heard of. Only a payable token changes, and only once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: dict[str, Token] = {}
        self._released: set[str] = set()

    def open(
        self,
        token_id: str,
        *,
        life: Life = Life.PAYABLE,
        lifetime: float | None = None,
        reference1: str | None = None,
    ) -> Token:
        """Return a copy of the token, born now with this life if nobody named it before."""
        with self._lock:
            token = self._tokens.get(token_id)
            if token is None:
                now = self._clock()
                expires_at = None if lifetime is None else now + lifetime
                token = Token(token_id, life, now, expires_at=expires_at)
                self._tokens[token_id] = token
            token.reference1 = reference1 or token.reference1
            return replace(self._aged(token))

    def find(self, token_id: str) -> Token | None:
        """Return a copy of the token, or nothing if the bank never heard of it."""
        with self._lock:
            token = self._tokens.get(token_id)
            return None if token is None else replace(self._aged(token))

    def cancel(self, token_id: str) -> tuple[Life, bool]:
        """Cancel a payable token; say how it stands now, and whether this call changed it."""
        return self._move(token_id, Life.CANCELLED)

    def pay(self, token_id: str) -> tuple[Life, bool]:
        """Let the customer pay a payable token."""
        return self._move(token_id, Life.PAID)

    def expire(self, token_id: str) -> tuple[Life, bool]:
        """End the time in which the token could be paid."""
        return self._move(token_id, Life.EXPIRED)

    def release(self, token_id: str) -> None:
        """Let go of every POST held for this token, now and from now on."""
        with self._lock:
            self._released.add(token_id)

    def released(self, token_id: str) -> bool:
        """Say whether POSTs held for this token may go on."""
        return token_id in self._released

    def effects(self) -> dict[str, int]:
        """Return how often each cancelled token was cancelled: never more than once."""
        with self._lock:
            return {key: token.effects for key, token in self._tokens.items() if token.effects}

    def lives(self) -> dict[str, int]:
        """Return how many tokens stand where."""
        with self._lock:
            standing = [self._aged(token).life.value for token in self._tokens.values()]
        return {life.value: standing.count(life.value) for life in Life}

    def clear(self) -> None:
        """Forget every token."""
        with self._lock:
            self._tokens.clear()
            self._released.clear()

    def _move(self, token_id: str, life: Life) -> tuple[Life, bool]:
        with self._lock:
            token = self._aged(self._tokens[token_id])
            if token.life is not Life.PAYABLE:
                return token.life, False
            token.life, token.changed_at = life, self._clock()
            token.effects += life is Life.CANCELLED
            return life, True

    def _aged(self, token: Token) -> Token:
        end = token.expires_at
        if token.life is Life.PAYABLE and end is not None and end <= self._clock():
            token.life, token.changed_at = Life.EXPIRED, end
        return token
