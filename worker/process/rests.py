"""Says when a partner begins and ends a rest, and when the bank closes and opens."""

from collections.abc import Mapping
from datetime import datetime

from worker.store import Rest
from worker.telemetry.log import get_logger

log = get_logger(__name__)


class Rests:
    """What this process has said last. Each worker says it for itself."""

    def __init__(self) -> None:
        self._known: dict[str, Rest] = {}
        self._closed: datetime | None = None

    def see(self, rests: Mapping[str, Rest]) -> None:
        """Compare the last rest of each partner that has not proved itself since with before."""
        for name, rest in rests.items():
            known = self._known.get(name)
            if known is None or known.resume_at != rest.resume_at:
                self._begins(name, rest)
                known = None
            if rest.is_over and (known is None or not known.is_over):
                log.info("partner_rest_over", partner_id=name)
        for name, known in self._known.items():
            if name not in rests and not known.is_over:
                log.info("partner_rest_over", partner_id=name)
        self._known = dict(rests)

    def see_bank(self, closed_until: datetime | None) -> None:
        """Compare whether the bank is in maintenance with what was said before."""
        if closed_until is not None and self._closed is None:
            log.info("maintenance_begins", until=closed_until.isoformat())
        elif closed_until is None and self._closed is not None:
            log.info("maintenance_over")
        self._closed = closed_until

    def _begins(self, name: str, rest: Rest) -> None:
        log.warning(
            "partner_rests",
            partner_id=name,
            reason=rest.reason,
            until=rest.resume_at.isoformat(),
            failures=rest.failures,
        )
