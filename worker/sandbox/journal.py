"""The journal of every POST, and the judgement that tests draw from it. Never a secret."""

import threading
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from operator import attrgetter


def _over() -> bool:
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
    # Asks the line whether the client has hung up: a client that gave up and asks again
    # is not a client that asks twice at once.
    gone: Callable[[], bool] = field(default=_over, repr=False, compare=False)

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
    """Thread-safe, ordered by arrival; judgements are kept up as entries come, not searched for."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._seq = 0
        self._latest = 0.0
        self._start_afresh()

    def arrive(self, entry: Entry) -> Entry:
        """Write down a POST that has just arrived; its seq and time are given here."""
        with self._changed:
            self._seq += 1
            entry.seq, entry.arrived_at = self._seq, self._now()
            self._entries.append(entry)
            self._by_uid.setdefault(entry.partner_txn_uid, []).append(entry)
            self._operations[entry.operation] += 1
            self._watch(self._open_uids, self._overlapping_uids, entry.partner_txn_uid, entry)
            self._watch(self._open_tokens, self._overlapping_tokens, entry.token_id, entry)
            self._open.add(entry.seq)
            self._changed.notify_all()
        return entry

    def judged(self, entry: Entry, *, credentials_ok: bool) -> None:
        """Note what the bank thought of the credentials."""
        with self._changed:
            entry.credentials_ok = credentials_ok
            self._wrong_credentials += not credentials_ok

    def took_effect(self, entry: Entry) -> None:
        """Note that this POST itself cancelled the token."""
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
        """Note the end of a POST; a POST ends once, and the first end stands."""
        with self._changed:
            if entry.finished_at is None:
                entry.http_status, entry.answer = http_status, answer
                self._close(entry)

    def left(self, entry: Entry) -> None:
        """Note that the client hung up before it had the answer."""
        with self._changed:
            self._hung_up(entry)

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
                replace(entry, gone=_over)
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
        """Return the whole bank's figures: small, however long the journal."""
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
        """Return the most POSTs that arrived within any one second (of one partner)."""
        with self._changed:
            arrivals = [
                entry.arrived_at
                for entry in self._entries
                if partner_id in {None, entry.partner_id}
            ]
        window: deque[float] = deque()
        most = 0
        for arrived_at in arrivals:
            window.append(arrived_at)
            while window[0] <= arrived_at - 1:
                window.popleft()
            most = max(most, len(window))
        return most

    def wait_until(self, holds: Callable[["Journal"], bool], *, timeout: float = 10.0) -> bool:
        """Wait until the journal satisfies `holds`; say whether it did in time."""
        with self._changed:
            return self._changed.wait_for(lambda: holds(self), timeout)

    def wait_for_posts(self, count: int, *, timeout: float = 10.0) -> bool:
        """Wait until this many POSTs have arrived since the last reset."""
        return self.wait_until(lambda journal: len(journal) >= count, timeout=timeout)

    def clear(self) -> None:
        """Forget every entry; the numbers go on, so that no `since` ever lies."""
        with self._changed:
            self._start_afresh()

    def __len__(self) -> int:
        return len(self._entries)

    def _start_afresh(self) -> None:
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

    def _watch(
        self, open_posts: dict[str, list[Entry]], overlapping: set[str], key: str, entry: Entry
    ) -> None:
        for other in list(open_posts.get(key, ())):
            if other.gone():
                self._hung_up(other)
            elif key:
                overlapping.add(key)
        open_posts.setdefault(key, []).append(entry)

    def _hung_up(self, entry: Entry) -> None:
        if entry.finished_at is None:
            entry.client_left = True
            self._close(entry)

    def _close(self, entry: Entry) -> None:
        entry.finished_at = self._now()
        entry.gone = _over
        if entry.seq in self._open:
            self._open.discard(entry.seq)
            self._statuses[entry.http_status] += 1
            self._forget(self._open_uids, entry.partner_txn_uid, entry)
            self._forget(self._open_tokens, entry.token_id, entry)
        self._changed.notify_all()

    @staticmethod
    def _forget(open_posts: dict[str, list[Entry]], key: str, entry: Entry) -> None:
        rest = [other for other in open_posts.get(key, ()) if other is not entry]
        if rest:
            open_posts[key] = rest
        else:
            open_posts.pop(key, None)
