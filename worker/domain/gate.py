"""
When a call of a partner may begin, by what its row says. Pure.

`store.partners` says the same in SQL, for all workers at once;
`tests/integration/test_sql_and_python_agree.py` compares the two.
"""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from worker.domain.partners import Partner, PartnerMode

Row = Mapping[str, Any]

PROOF_LASTS = timedelta(seconds=60)
"""So long after its last good answer a partner needs no new proof."""
AHEAD = timedelta(seconds=1)
"""So far ahead a call may take its slot, and wait for it in its worker."""
HEADROOM = 0.9
"""The part of a partner's rate that is used: calls arrive a little unevenly."""
LATE = timedelta(seconds=0.1)
"""
So long after its slot a call may leave; a later one takes another slot.

Calls that leave within one second have their slots within 1.1 seconds: at 0.9 of the rate that
is the rate itself, and one more at the edge.
"""


def is_cooling(row: Row, *, now: datetime) -> bool:
    """Say whether a partner cools down now; after `resume_at` one call may go first."""
    return bool(row["mode"] == PartnerMode.COOLING and row["resume_at"] > now)


def is_proven(row: Row, *, now: datetime) -> bool:
    """Say whether a partner needs no proof; one from the future: the clock was set back since."""
    at = row["proven_at"]
    if row["mode"] != PartnerMode.ACTIVE or at is None:
        return False
    return bool(now - PROOF_LASTS < at < now + PROOF_LASTS)


def first_calls(row: Row, *, now: datetime) -> list[str]:
    """Return the leases of the first calls that are under way, for whose answers others wait."""
    pairs = (("probe_id", "probe_ends_at"), ("second_probe_id", "second_probe_ends_at"))
    return [row[lease] for lease, ends in pairs if row.get(lease) is not None and row[ends] > now]


def most_first_calls(row: Row) -> int:
    """Return how many first calls may be under way: after one that proved nothing, two."""
    return 2 if row.get("failed_probes") else 1


def is_probing(row: Row, *, now: datetime) -> bool:
    """Say whether as many first calls are under way as may be: the others wait."""
    return len(first_calls(row, now=now)) >= most_first_calls(row)


def spacing_seconds(partner: Partner) -> float:
    """Return the seconds between two calls that the partner's rate asks for."""
    rate = partner.rate_per_second
    return 0.0 if rate is None else 1 / (rate * HEADROOM)


def next_slot(last: datetime | None, *, now: datetime, seconds: float) -> datetime:
    """Return when the next call may begin: so many seconds after the last, and not before now."""
    # A slot further ahead than any is given: the clock was set back since.
    if last is None or last > now + AHEAD:
        return now
    return max(last + timedelta(seconds=seconds), now)


def free_slots(last: datetime | None, *, now: datetime, seconds: float) -> int:
    """Return how many calls may take a slot now; `seconds` between two of them are positive."""
    ahead = AHEAD - (next_slot(last, now=now, seconds=seconds) - now)
    return math.floor(ahead.total_seconds() / seconds) + 1 if ahead >= timedelta(0) else 0
