"""What the bank remembers of the uids it has seen: needed to refuse or replay a repeated one."""

import threading
from copy import deepcopy
from dataclasses import dataclass, replace

from worker.sandbox.answers import Call


@dataclass(slots=True)
class Seen:
    """One uid: for which token it came, whether it was taken up, and what was answered."""

    token_id: str
    taken_up: bool
    answer: dict[str, object] | None = None


class Memory:
    """The uids of all partners, each partner's apart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], Seen] = {}

    def meet(self, call: Call, *, taken_up: bool) -> Seen | None:
        """Remember the uid; return what was known of it before this POST."""
        with self._lock:
            seen = self._seen.get(_key(call))
            before = None if seen is None else replace(seen)
            if seen is None:
                self._seen[_key(call)] = Seen(call.token_id, taken_up)
            else:
                seen.taken_up |= taken_up
            return before

    def answered(self, call: Call, answer: dict[str, object]) -> None:
        """Keep the first result, should it have to be given again."""
        with self._lock:
            seen = self._seen.setdefault(_key(call), Seen(call.token_id, taken_up=True))
            seen.answer = seen.answer or deepcopy(answer)

    def clear(self) -> None:
        """Forget every uid."""
        with self._lock:
            self._seen.clear()


def _key(call: Call) -> tuple[str, str]:
    return call.partner_id, call.partner_txn_uid
