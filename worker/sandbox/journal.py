"""The journal of every POST, and what tests check by it. It never holds a secret."""

import threading
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from operator import attrgetter


def _left() -> bool:
    return True


@dataclass(slots=True)
class Entry:
    """One POST, from the moment it arrived."""

    seq: int
    operation: str
    partner_txn_uid: str
    partner_id: str
    token_id: str
    reference1: str
    arrived_at: float
    scenario: str = ""
    finished_at: float | None = None
    http_status: int | None = None
    answer: dict[str, object] | None = None
    effect: bool = False
    credentials_ok: bool | None = None
    client_left: bool = False
    # Whether the answer is sent whole, and the connection closed if the answer ends it.
    is_done: bool = False
    # Returns whether the client has left: a client that gave up and asks again does not have
    # two POSTs in progress at once.
    has_left: Callable[[], bool] = field(default=_left, repr=False, compare=False)

    def as_json(self) -> dict[str, object]:
        """Return the entry as `GET /journal` shows it."""
        return {
            "seq": self.seq,
            "operation": self.operation,
            "partnerTxnUid": self.partner_txn_uid,
            "partnerId": self.partner_id,
            "tokenId": self.token_id,
            "reference1": self.reference1,
            "scenario": self.scenario,
            "arrived_at": self.arrived_at,
            "finished_at": self.finished_at,
            "http_status": self.http_status,
            "answer": self.answer,
            "effect": self.effect,
            "credentials_ok": self.credentials_ok,
            "client_left": self.client_left,
        }


class Journal:
    """Thread-safe, ordered by arrival; counts and overlaps are kept up to date with each entry."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._seq = 0
        self._latest = 0.0
        self._reset()

    def add(self, entry: Entry) -> Entry:
        """Add a POST that has just arrived; its seq and time are set here."""
        with self._changed:
            self._seq += 1
            entry.seq, entry.arrived_at = self._seq, self._now()
            self._entries.append(entry)
            self._by_uid.setdefault(entry.partner_txn_uid, []).append(entry)
            self._operations[entry.operation] += 1
            self._note_overlap(
                self._open_uids, self._overlapping_uids, entry.partner_txn_uid, entry
            )
            self._note_overlap(self._open_tokens, self._overlapping_tokens, entry.token_id, entry)
            self._open.add(entry.seq)
            self._changed.notify_all()
        return entry

    def note_credentials(self, entry: Entry, *, ok: bool) -> None:
        """Store whether the credentials were accepted."""
        with self._changed:
            entry.credentials_ok = ok
            self._wrong_credentials += not ok

    def note_effect(self, entry: Entry) -> None:
        """Store that this POST cancelled the token."""
        with self._changed:
            entry.effect = True
            self._effects[entry.token_id] += 1
            self._changed.notify_all()

    def finish(
        self,
        entry: Entry,
        *,
        http_status: int | None = None,
        answer: dict[str, object] | None = None,
    ) -> None:
        """Store the end of a POST; it ends once, so the first end counts."""
        with self._changed:
            if entry.finished_at is None:
                entry.http_status, entry.answer = http_status, answer
                self._close(entry)

    def note_left(self, entry: Entry) -> None:
        """Store that the client left before it had the answer."""
        with self._changed:
            self._close_as_left(entry)

    def note_done(self, entry: Entry) -> None:
        """Note that the bank does nothing more for a POST."""
        with self._changed:
            entry.is_done = True
            self._changed.notify_all()

    def entries(
        self,
        *,
        since: int = 0,
        uid: str | None = None,
        token: str | None = None,
        operation: str | None = None,
        limit: int | None = None,
    ) -> list[Entry]:
        """Return copies of the entries after `since`, oldest first."""
        with self._changed:
            found = self._entries if uid is None else self._by_uid.get(uid, [])
            newer = islice(found, bisect_right(found, since, key=attrgetter("seq")), None)
            chosen = (
                replace(entry, has_left=_left)
                for entry in newer
                if token in {None, entry.token_id} and operation in {None, entry.operation}
            )
            return list(chosen if limit is None else islice(chosen, max(limit, 0)))

    def overlaps(self) -> list[str]:
        """Return the uids that ever had two POSTs in progress at the same time."""
        with self._changed:
            return sorted(self._overlapping_uids)

    def overlapping_tokens(self) -> list[str]:
        """Return the tokens that ever had two POSTs in progress at the same time."""
        with self._changed:
            return sorted(self._overlapping_tokens)

    def effects(self) -> dict[str, int]:
        """Return how many POSTs of each token had the effect of cancelling it."""
        with self._changed:
            return dict(self._effects)

    def posts_per_uid(self) -> dict[str, int]:
        """Return how many POSTs came under each uid, inquiries included."""
        with self._changed:
            return {uid: len(entries) for uid, entries in self._by_uid.items()}

    def counts(self) -> dict[str, object]:
        """Return the figures of the whole bank: few, however long the journal."""
        with self._changed:
            return {
                "posts": len(self._entries),
                "by_operation": dict(self._operations),
                "by_http_status": {str(key or "none"): n for key, n in self._statuses.items()},
                "in_progress": len(self._open),
                "uids": len(self._by_uid),
                "effects": sum(self._effects.values()),
                "wrong_credentials": self._wrong_credentials,
                "overlaps": len(self._overlapping_uids),
                "last_seq": self._seq,
            }

    def busiest_second(self, partner_id: str | None = None) -> int:
        """Return the largest number of POSTs (of one partner) within any one second."""
        with self._changed:
            arrivals = [
                entry.arrived_at
                for entry in self._entries
                if partner_id in {None, entry.partner_id}
            ]
        return busiest_second(arrivals)

    def wait_until(self, holds: Callable[["Journal"], bool], *, timeout: float = 10.0) -> bool:
        """Wait until `holds` is true for the journal; return whether it was in time."""
        with self._changed:
            return self._changed.wait_for(lambda: holds(self), timeout)

    def wait_for_posts(self, count: int, *, timeout: float = 10.0) -> bool:
        """Wait until this many POSTs have arrived since the last reset."""
        return self.wait_until(lambda journal: len(journal) >= count, timeout=timeout)

    def clear(self) -> None:
        """Delete every entry; the numbers continue, so that every `since` stays valid."""
        with self._changed:
            self._reset()

    def __len__(self) -> int:
        return len(self._entries)

    def _reset(self) -> None:
        self._entries: list[Entry] = []
        self._by_uid: dict[str, list[Entry]] = {}
        self._open_uids: dict[str, list[Entry]] = {}
        self._open_tokens: dict[str, list[Entry]] = {}
        self._overlapping_uids: set[str] = set()
        self._overlapping_tokens: set[str] = set()
        self._operations: Counter[str] = Counter()
        self._statuses: Counter[int | None] = Counter()
        self._effects: Counter[str] = Counter()
        self._wrong_credentials = 0
        self._open: set[int] = set()

    def _now(self) -> float:
        self._latest = max(self._latest, self._clock())
        return self._latest

    def _note_overlap(
        self, open_posts: dict[str, list[Entry]], overlapping: set[str], key: str, entry: Entry
    ) -> None:
        for other in list(open_posts.get(key, ())):
            if other.has_left():
                self._close_as_left(other)
            elif key:
                overlapping.add(key)
        open_posts.setdefault(key, []).append(entry)

    def _close_as_left(self, entry: Entry) -> None:
        if entry.finished_at is None:
            entry.client_left = True
            self._close(entry)

    def _close(self, entry: Entry) -> None:
        entry.finished_at = self._now()
        entry.has_left = _left
        if entry.seq in self._open:
            self._open.discard(entry.seq)
            self._statuses[entry.http_status] += 1
            self._remove(self._open_uids, entry.partner_txn_uid, entry)
            self._remove(self._open_tokens, entry.token_id, entry)
        self._changed.notify_all()

    @staticmethod
    def _remove(open_posts: dict[str, list[Entry]], key: str, entry: Entry) -> None:
        rest = [other for other in open_posts.get(key, ()) if other is not entry]
        if rest:
            open_posts[key] = rest
        else:
            open_posts.pop(key, None)


def busiest_second(times: Iterable[float]) -> int:
    """Return how many times at most lie within any one second. They are in order."""
    window: deque[float] = deque()
    most = 0
    for at in times:
        window.append(at)
        while window[0] <= at - 1:
            window.popleft()
        most = max(most, len(window))
    return most
