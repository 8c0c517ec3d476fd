"""The uids that the bank has seen: needed to refuse a repeated one, or to repeat its answer."""

import threading
from copy import deepcopy
from dataclasses import dataclass, replace

from worker.sandbox.answers import Call


@dataclass(slots=True)
class SeenUid:
    """One uid: its token, whether it was processed, and the answer."""

    token_id: str
    processed: bool
    answer: dict[str, object] | None = None


class SeenUids:
    """The uids of all partners, kept per partner."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], SeenUid] = {}

    def remember(self, call: Call, *, processed: bool) -> SeenUid | None:
        """Store the uid; return what was stored before this POST."""
        with self._lock:
            seen = self._seen.get(_key(call))
            before = None if seen is None else replace(seen)
            if seen is None:
                self._seen[_key(call)] = SeenUid(call.token_id, processed)
            else:
                seen.processed |= processed
            return before

    def keep_answer(self, call: Call, answer: dict[str, object]) -> None:
        """Store the first answer, which may have to be repeated."""
        with self._lock:
            seen = self._seen.setdefault(_key(call), SeenUid(call.token_id, processed=True))
            seen.answer = seen.answer or deepcopy(answer)

    def clear(self) -> None:
        """Delete every uid."""
        with self._lock:
            self._seen.clear()


def _key(call: Call) -> tuple[str, str]:
    return call.partner_id, call.partner_txn_uid
