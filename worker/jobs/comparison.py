"""
Whether the order system and the table say the same: a manifest compared both ways.

Any number of orders passes through; nothing is kept in memory but counts.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.domain.differences import Difference, DifferenceKind
from worker.domain.states import FINAL, Outcome
from worker.jobs.manifest import ManifestEntry, RefusedLine
from worker.jobs.staging import Staging
from worker.store import Status, Store
from worker.store.jobs.lookup import is_same, state_of

Advance = Callable[[int], None]


@dataclass(slots=True)
class Comparison:
    """
    The comparison as it goes on: counts, and `tell`, which hears each difference as it is found.

    `orders` counts the manifest's distinct ones, `repeated` its lines that say one again.
    """

    store: Store
    staged: Staging
    tell: Callable[[Difference], None]
    orders: int = 0
    repeated: int = 0
    accepted: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    counts: Counter[DifferenceKind] = field(default_factory=Counter)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs; what was accepted now differs no more."""
        differing = self.counts.total() - self.counts[DifferenceKind.NOT_FINAL]
        return differing == 0

    def stage(self, entries: Iterable[ManifestEntry | RefusedLine], advance: Advance) -> None:
        """Take the manifest in; of two orders under one uid the first stands."""
        for entry in entries:
            advance(1)
            if isinstance(entry, RefusedLine):
                detail = f"{entry.reason}: {entry.detail}"
                self._note(Difference(DifferenceKind.REFUSED, line=entry.line, detail=detail))
                continue
            stands = self.staged.add(entry)
            if stands is None:
                self.orders += 1
            elif _same_order(stands, entry):
                self.repeated += 1
            else:
                uid = entry.order.partner_txn_uid
                detail = f"contradiction: line {stands.line} has this uid with other content"
                self._note(Difference(DifferenceKind.REFUSED, uid, entry.line, detail=detail))

    def compare(self, advance: Advance) -> None:
        """Look up every order of the manifest."""
        for chunk in self.staged.chunks():
            known = self.store.bulk.look([entry.order.partner_txn_uid for entry in chunk])
            missing = []
            for entry in chunk:
                row = known.get(entry.order.partner_txn_uid)
                if row is None:
                    missing.append(entry)
                else:
                    self._compare(entry, row)
            self.staged.mark_missing(entry.order.partner_txn_uid for entry in missing)
            for entry in missing:
                self._note(_about(DifferenceKind.NOT_HERE, entry))
            advance(len(chunk))

    def accept(self, advance: Advance) -> None:
        """
        Accept the orders that nobody here knew; the sweep hints at them.

        To be done again after a crash without harm: what was accepted is known then.
        """
        for chunk in self.staged.chunks(only_missing=True):
            heard = self.store.bulk.accept([_as_row(entry) for entry in chunk])
            for entry in chunk:
                self.counts[DifferenceKind.NOT_HERE] -= 1
                acceptance = heard[entry.order.partner_txn_uid]
                if acceptance.status is Status.CONFLICT:
                    self._note(_about(DifferenceKind.OTHER_CONTENT, entry))
                elif acceptance.status is Status.ACCEPTED:
                    self.accepted += 1
                else:
                    # Somebody else brought it meanwhile; how it ends, the next comparison says.
                    self.counts[DifferenceKind.NOT_FINAL] += 1
            advance(len(chunk))

    def look_beyond(self, *, since: datetime, until: datetime, advance: Advance) -> None:
        """Look for jobs accepted in a time that the manifest does not name."""
        for page in self.store.bulk.accepted(since=since, until=until):
            for row in page:
                if not self.staged.holds(row.partner_txn_uid):
                    uid = row.partner_txn_uid
                    stands = {"state": row.state, "outcome": row.outcome}
                    self._note(Difference(DifferenceKind.NOT_IN_MANIFEST, uid, **stands))
            advance(len(page))

    def _compare(self, entry: ManifestEntry, row: Any) -> None:
        if not is_same(row, _as_row(entry)):
            self._note(_about(DifferenceKind.OTHER_CONTENT, entry, row))
            return
        last = self._last(row)
        if state_of(last) not in FINAL:
            self._note(_about(DifferenceKind.NOT_FINAL, entry, last))
        elif entry.expected is not None and last.outcome != entry.expected:
            self._note(_about(DifferenceKind.OTHER_OUTCOME, entry, last))
        else:
            self.outcomes[Outcome(last.outcome)] += 1

    def _last(self, row: Any) -> Any:
        """Return the job that speaks for an order: the last of those it was reissued as."""
        seen = {row.partner_txn_uid}
        while row.continued_by is not None and row.continued_by not in seen:
            seen.add(row.continued_by)
            heir = self.store.bulk.look([row.continued_by]).get(row.continued_by)
            if heir is None:
                return row
            row = heir
        return row

    def _note(self, difference: Difference) -> None:
        self.counts[difference.kind] += 1
        self.tell(difference)


def _about(kind: DifferenceKind, entry: ManifestEntry, row: Any = None) -> Difference:
    return Difference(
        kind,
        entry.order.partner_txn_uid,
        entry.line,
        state=None if row is None else str(state_of(row)),
        outcome=None if row is None else row.outcome,
        expected=entry.expected,
    )


def _as_row(entry: ManifestEntry) -> dict[str, Any]:
    return entry.order.row()


def _same_order(one: ManifestEntry, other: ManifestEntry) -> bool:
    """Another expiry is no contradiction, as at the producers' door."""
    names = ("partner_id", "token_id", "reference1")
    return all(getattr(one.order, name) == getattr(other.order, name) for name in names) and (
        one.expected == other.expected
    )
