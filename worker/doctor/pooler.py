"""The pooler before PostgreSQL, if there is one."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from worker.config.settings import Settings
from worker.doctor.finding import Finding, failed
from worker.store import Database, Timeouts, open_database
from worker.store.reports.pooler import Pooler, pooler_of
from worker.telemetry.about import DATABASES

MOMENT: Final = timedelta(seconds=2)
"""So long one looks for a second session."""
UNNAMED: Final = (
    "nothing is prepared behind it, which costs the server more time for each statement: PgBouncer"
    " keeps prepared statements from 1.21 on, if max_prepared_statements is not 0"
)


def pooler(database: Database, settings: Settings) -> Iterator[Finding]:
    """Yield one finding if a pooler is before PostgreSQL."""
    moment = replace(Timeouts(), lock=MOMENT, answer=MOMENT)
    other = open_database(settings.database, connections=1, timeouts=moment)
    try:
        seen = pooler_of(database, other)
    finally:
        other.close()
    if seen is not None:
        yield _finding(seen)


def _finding(seen: Pooler) -> Finding:
    if seen.is_full:
        text = f"it gave no second session within {MOMENT.total_seconds():g} s"
        remedy = (
            "let it have more (default_pool_size): `db upgrade` needs two, and in session mode a"
            f" worker needs one for each connection ({DATABASES})"
        )
        return failed("pooler", text, remedy)
    mode = "in transaction mode" if seen.lends else "whose mode does not show"
    text = f"there is one, {mode}: what a transaction needs is set with each"
    return Finding("pooler", text if seen.keeps_names else f"{text}; {UNNAMED}")
