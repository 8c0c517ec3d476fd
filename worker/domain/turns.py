"""Whose turn it is: which due jobs get a hint now, how many of each partner. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, Protocol

from worker.domain.gate import (
    Row,
    first_calls,
    free_slots,
    is_cooling,
    is_proven,
    most_first_calls,
    spacing_seconds,
)
from worker.domain.partners import Partner, PartnerMode

ONE_IN = 4
"""One hint in so many is for a job whose last hint was lost, though others have had none yet."""
SUSPECT_AFTER = 2
"""A job that was hinted at so often, and not claimed since, is hinted at behind all others."""
HOLDS = (1, 1, 2, 4, 8, 16)
"""How long a hint counts by the number of hints since the last claim, in `again_after`."""


class Due(Protocol):
    """A due job that has no hint now."""

    partner_txn_uid: str
    partner_id: str
    expires_at: datetime | None
    next_attempt_at: datetime
    updated_at: datetime
    hints: int
    conversations: int
    status_code: str | None


class Lane(IntEnum):
    """Who goes before whom: jobs without a hint, those whose hint was lost, those of many."""

    NEW = 0
    LOST = 1
    SUSPECT = 2


@dataclass(frozen=True, slots=True)
class Room:
    """
    How many hints a partner may have now; `most` is None if its calls are not bounded.

    `must_prove`: one call goes first. `last_probe` is the job of the last one that did.
    """

    most: int | None = None
    must_prove: bool = False
    last_probe: str | None = None

    def without(self, hinted: int) -> "Room":
        """Return what is left beside the hints that count."""
        most = None if self.most is None else max(self.most - hinted, 0)
        return Room(most, self.must_prove, self.last_probe)


def room_of_new(partner: Partner | None) -> Room:
    """Return the room of a partner that was never called; it is None if not configured here."""
    # One call, and a spare if its message is lost.
    return Room(2, must_prove=True) if partner is not None else Room()


def room_of(row: Row, partner: Partner | None, *, now: datetime) -> Room:
    """
    Return a partner's room: the gate would turn more away, and they would be hinted at again.

    `partner` is None if it is not configured here.
    """
    if row["mode"] == PartnerMode.PAUSED or is_cooling(row, now=now):
        return Room(0)
    if not is_proven(row, now=now):
        under_way, most = len(first_calls(row, now=now)), most_first_calls(row)
        room = most - under_way + 1 if under_way < most else 0
        return Room(room, must_prove=True, last_probe=row["probe_uid"])
    return Room(_most_of_proven(row, partner, now=now))


def _most_of_proven(row: Row, partner: Partner | None, *, now: datetime) -> int | None:
    seconds, rooms = row["pace"] or 0.0, []
    if partner is not None:
        seconds = max(seconds, spacing_seconds(partner))
        if partner.max_concurrency is not None:
            rooms.append(2 * partner.max_concurrency)
    if seconds:
        rooms.append(free_slots(row["slot_at"], now=now, seconds=seconds))
    return min(rooms, default=None)


def lane(hints: int) -> Lane:
    """Return the lane of a job that was hinted at so often since its last claim."""
    return Lane(min(hints, SUSPECT_AFTER))


@dataclass(slots=True)
class Turns:
    """
    The turns of one pass: at most `room`, and at most `suspects` of jobs of many lost hints.

    Of partners whose calls are not bounded at most `runs` get one: a run goes on by itself with
    what is due next. Offer candidates; `chosen` has those whose turn it is.
    """

    room: int
    suspects: int
    runs: int
    chosen: list[Any] = field(default_factory=list)
    _lost: int = field(init=False)
    _given: dict[str, list[int]] = field(init=False)
    _seen: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._lost = _share(self.room)
        self._given = defaultdict(lambda: [0, 0, 0])

    @property
    def left(self) -> int:
        """How many turns are left."""
        return self.room - len(self.chosen)

    @property
    def mostly(self) -> int:
        """How many turns are left for partners whose calls are not bounded, as most are not."""
        return min(self.left, self.runs)

    def wants(self, name: str, room: Room) -> bool:
        """Say whether a partner may have more turns."""
        return self.runs > 0 if room.most is None else sum(self._given[name]) < room.most

    def offer(self, jobs: Iterable[Due], rooms: Mapping[str, Room]) -> None:
        """Choose among these jobs, the earliest expiry first in each lane."""
        fresh = [
            job
            for job in jobs
            if job.partner_txn_uid not in self._seen
            and self.wants(job.partner_id, rooms[job.partner_id])
        ]
        self._seen.update(job.partner_txn_uid for job in fresh)
        lanes: list[list[Due]] = [[], [], []]
        for job in _in_turn(fresh, rooms):
            lanes[lane(job.hints)].append(job)
        first = self._take(lanes[Lane.LOST], rooms, share=True)
        self._take(lanes[Lane.NEW], rooms)
        self._take([job for job in lanes[Lane.LOST] if job not in first], rooms)
        self._take(lanes[Lane.SUSPECT], rooms)

    def _take(
        self, jobs: Sequence[Due], rooms: Mapping[str, Room], *, share: bool = False
    ) -> list[Due]:
        """Give a turn to each of these jobs that may have one; with `share`, to a part only."""
        taken: list[Due] = []
        for job in jobs:
            if self.left == 0 or (share and len(taken) >= self._lost):
                break
            kind, given, most = (
                lane(job.hints),
                self._given[job.partner_id],
                rooms[job.partner_id].most,
            )
            if most is None and self.runs == 0:
                continue
            if most is not None and sum(given) >= most:
                continue
            if share and most is not None and given[Lane.LOST] >= _share(most):
                continue
            if kind is Lane.SUSPECT:
                if self.suspects == 0:
                    break
                self.suspects -= 1
            if most is None:
                self.runs -= 1
            given[kind] += 1
            taken.append(job)
            self.chosen.append(job)
        return taken


def _share(room: int) -> int:
    return -(-room // ONE_IN)


def _in_turn(jobs: Sequence[Due], rooms: Mapping[str, Room]) -> list[Due]:
    """Return jobs in the order of their turns; a partner that must prove itself has its own."""
    ordered = sorted(jobs, key=_urgency)
    places: dict[str, list[int]] = defaultdict(list)
    for place, job in enumerate(ordered):
        if rooms[job.partner_id].must_prove:
            places[job.partner_id].append(place)
    for name, mine in places.items():
        candidates = as_probes([ordered[place] for place in mine], rooms[name].last_probe)
        for place, job in zip(mine, candidates, strict=True):
            ordered[place] = job
    return ordered


def _urgency(job: Due) -> tuple[bool, float, datetime]:
    at = job.expires_at
    return at is None, at.timestamp() if at else 0.0, job.next_attempt_at


def as_probes(jobs: Sequence[Due], last_probe: str | None) -> list[Due]:
    """
    Return jobs of a partner that must prove itself, in the order in which they go first.

    One that the bank has answered before, then one that it was never asked about, and so on in
    turns; then those to which it said nothing; last the one that just went first, and failed.
    """
    answered: list[Due] = []
    new: list[Due] = []
    silent: list[Due] = []
    last: list[Due] = []
    for job in jobs:
        if job.partner_txn_uid == last_probe:
            last.append(job)
        elif job.status_code is not None:
            answered.append(job)
        else:
            (silent if job.conversations else new).append(job)
    answered.sort(key=lambda job: job.updated_at)
    silent.sort(key=lambda job: job.updated_at)
    both = min(len(answered), len(new))
    turns = [job for pair in zip(answered, new, strict=False) for job in pair]
    return [*turns, *answered[both:], *new[both:], *silent, *last]
