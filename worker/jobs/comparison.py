"""
Compares a manifest of the order system with the table, in both directions.

It takes any number of orders. Only counts are held in memory.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.domain.differences import Difference, DifferenceKind
from worker.domain.partners import Roster, UnknownPartner
from worker.domain.states import FINAL, Outcome
from worker.jobs.manifest import ManifestEntry, RefusedLine
from worker.jobs.staging import Staging
from worker.store import Status, Store
from worker.store.engine.database import AnyRow
from worker.store.jobs.lookup import is_same, state_of

Advance = Callable[[int], None]


@dataclass(slots=True)
class Comparison:
    """
    A comparison under way: its counts, and `report`, which is called with each difference.

    `orders` counts the distinct orders of the manifest, `repeated` its duplicate lines.
    `stranger` says that a partner is not configured here, or nothing; `on_stranger` what becomes
    of its orders. `warnings` counts the accepted orders that nobody may serve.
    """

    store: Store
    staged: Staging
    report: Callable[[Difference], None]
    stranger: Callable[[str], str] = Roster({}).stranger
    on_stranger: UnknownPartner = UnknownPartner.WARN
    orders: int = 0
    repeated: int = 0
    accepted: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    counts: Counter[DifferenceKind] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs. Orders that were accepted now do not differ any more."""
        differing = self.counts.total() - self.counts[DifferenceKind.NOT_FINAL]
        return differing == 0

    def stage(self, entries: Iterable[ManifestEntry | RefusedLine], advance: Advance) -> None:
        """Read the manifest. Of two orders with one uid the first counts."""
        for entry in entries:
            advance(1)
            if isinstance(entry, RefusedLine):
                detail = f"{entry.reason}: {entry.detail}"
                self._count(Difference(DifferenceKind.REFUSED, line=entry.line, detail=detail))
                continue
            first = self.staged.add(entry)
            if first is None:
                self.orders += 1
            elif _is_same_order(first, entry):
                self.repeated += 1
            else:
                uid = entry.order.partner_txn_uid
                detail = f"contradiction: line {first.line} has this uid with other content"
                self._count(Difference(DifferenceKind.REFUSED, uid, entry.line, detail=detail))

    def compare(self, advance: Advance) -> None:
        """Look up each order of the manifest in the table."""
        for chunk in self.staged.chunks():
            known = self.store.bulk.find([entry.order.partner_txn_uid for entry in chunk])
            missing = []
            for entry in chunk:
                row = known.get(entry.order.partner_txn_uid)
                if row is None:
                    missing.append(entry)
                else:
                    self._compare(entry, row)
            self.staged.mark_missing(entry.order.partner_txn_uid for entry in missing)
            for entry in missing:
                self._count(_about(DifferenceKind.NOT_HERE, entry))
            advance(len(chunk))

    def accept(self, advance: Advance) -> None:
        """
        Accept the orders that the table does not have. The sweep sends their hints.

        After a crash it can run again without harm: accepted orders are in the table then.
        """
        for chunk in self.staged.chunks(only_missing=True):
            wanted = [entry for entry in chunk if not self._refuses(entry)]
            accepted = self.store.bulk.accept([_as_row(entry) for entry in wanted])
            for entry in wanted:
                self.counts[DifferenceKind.NOT_HERE] -= 1
                acceptance = accepted[entry.order.partner_txn_uid]
                if acceptance.status is Status.CONFLICT:
                    self._count(_about(DifferenceKind.OTHER_CONTENT, entry))
                elif acceptance.status is Status.ACCEPTED:
                    self.accepted += 1
                    self.warnings.update(filter(None, [self._stranger(entry)]))
                else:
                    # Another producer has sent it meanwhile. The next comparison shows its end.
                    self.counts[DifferenceKind.NOT_FINAL] += 1
            advance(len(chunk))

    def find_unlisted(self, *, since: datetime, until: datetime, advance: Advance) -> None:
        """Find jobs that were accepted in this time and are not in the manifest."""
        for page in self.store.bulk.accepted(since=since, until=until):
            for row in page:
                if not self.staged.holds(row.partner_txn_uid):
                    uid = row.partner_txn_uid
                    found = {"state": row.state, "outcome": row.outcome}
                    self._count(Difference(DifferenceKind.NOT_IN_MANIFEST, uid, **found))
            advance(len(page))

    def _stranger(self, entry: ManifestEntry) -> str:
        return self.stranger(str(entry.order.partner_id))

    def _refuses(self, entry: ManifestEntry) -> bool:
        """Say whether an order must not be accepted; it is counted as refused, then."""
        stranger = self._stranger(entry)
        if not stranger or self.on_stranger is not UnknownPartner.REFUSE:
            return False
        self.counts[DifferenceKind.NOT_HERE] -= 1
        uid, detail = entry.order.partner_txn_uid, f"unknown_partner: {stranger}"
        self._count(Difference(DifferenceKind.REFUSED, uid, entry.line, detail=detail))
        return True

    def _compare(self, entry: ManifestEntry, row: AnyRow) -> None:
        if not is_same(row, _as_row(entry)):
            self._count(_about(DifferenceKind.OTHER_CONTENT, entry, row))
            return
        last = self._last(row)
        if state_of(last) not in FINAL:
            self._count(_about(DifferenceKind.NOT_FINAL, entry, last))
        elif entry.expected is not None and last.outcome != entry.expected:
            self._count(_about(DifferenceKind.OTHER_OUTCOME, entry, last))
        else:
            self.outcomes[Outcome(last.outcome)] += 1

    def _last(self, row: AnyRow) -> AnyRow:
        """Return the job that counts for an order: the last one that it was reissued as."""
        seen = {row.partner_txn_uid}
        while row.continued_by is not None and row.continued_by not in seen:
            seen.add(row.continued_by)
            successor = self.store.bulk.find([row.continued_by]).get(row.continued_by)
            if successor is None:
                return row
            row = successor
        return row

    def _count(self, difference: Difference) -> None:
        self.counts[difference.kind] += 1
        self.report(difference)


def _about(kind: DifferenceKind, entry: ManifestEntry, row: AnyRow | None = None) -> Difference:
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


def _is_same_order(one: ManifestEntry, other: ManifestEntry) -> bool:
    """Another expiry is no contradiction, as in `worker.enqueue`."""
    names = ("partner_id", "token_id", "reference1")
    return all(getattr(one.order, name) == getattr(other.order, name) for name in names) and (
        one.expected == other.expected
    )
