"""When a call leaves: at its slot of the partner's rate, or at a later one if it is late."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from worker.bank.faults import bank_error
from worker.domain.claims import Claim
from worker.domain.gate import AHEAD, LATE
from worker.domain.partners import Partner
from worker.errors import StoreUnavailable
from worker.store import Store
from worker.telemetry.log import get_logger

log = get_logger(__name__)

MOST_SLOTS = 5
"""So many slots are taken for one call; then it is given back, and spends no attempt."""
LONGEST_LEAD = AHEAD / 2
"""So far ahead another slot is asked for, at most: further ahead than the last was missed by."""


@dataclass(slots=True)
class Departure:
    """
    The moment at which one call leaves. Make it as soon as the claim is there.

    A claim may be committed late, and a thread may sleep too long. Then calls that had slots one
    after another would leave together, and the bank counts them so.
    """

    claim: Claim
    partner: Partner
    store: Store
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    _at: float = field(init=False)
    _slots: int = field(init=False, default=1)

    def __post_init__(self) -> None:
        self._take(self.claim)

    def wait(self) -> None:
        """Wait until the slot."""
        left = self._at - self.monotonic()
        if left > 0:
            self.sleep(left)

    def __call__(self) -> None:
        """
        Return if the call may leave now, perhaps after a wait for another slot.

        Raise `CallNotMade` if no slot is to be had.
        """
        while (late := self.monotonic() - self._at) > LATE.total_seconds():
            if self.claim.slot_at is None:
                return
            self._take(self._another(timedelta(seconds=late)))
            self.wait()

    def _take(self, claim: Claim) -> None:
        self.claim, self._at = claim, self.monotonic() + claim.wait.total_seconds()

    def _another(self, late: timedelta) -> Claim:
        uid, taken = self.claim.request.partner_txn_uid, None
        self._slots += 1
        if self._slots <= MOST_SLOTS:
            lead = min(2 * late, LONGEST_LEAD)
            try:
                taken = self.store.jobs.another_slot(self.claim, self.partner, lead=lead)
            except StoreUnavailable as error:
                log.warning("no_other_slot", partner_txn_uid=uid, reason=str(error))
        if taken is None:
            raise bank_error("slot_missed", f"by {late.total_seconds():.1f} s")
        log.info("slot_missed", partner_txn_uid=uid, late_ms=round(late.total_seconds() * 1000))
        return taken
