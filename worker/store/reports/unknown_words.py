"""Codes and statuses of the bank that were in no dialect, for operators who add them."""

from sqlalchemy import ColumnElement, and_, case, func, select

from worker.domain.states import State
from worker.store.engine.database import AnyRow, AnySelect, Database
from worker.store.engine.elements import Bytewise
from worker.store.schema.tables import JOBS, cancel_attempts, cancel_jobs, token_statuses

ATTEMPTS = cancel_attempts.c
TOKENS = token_statuses.c


class UnknownWords:
    """The statements that read words which were not in the dialect when they came."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._codes = _counted(ATTEMPTS.error_code, ATTEMPTS.short_code).where(
            ATTEMPTS.heard == "unknown_code"
        )
        conversation = and_(
            TOKENS.partner_txn_uid == ATTEMPTS.partner_txn_uid, TOKENS.number == ATTEMPTS.number
        )
        self._statuses = (
            _counted(TOKENS.status)
            .join(token_statuses, conversation)
            .where(ATTEMPTS.heard == "unknown_status", TOKENS.status.is_not(None))
        )

    def codes(self) -> list[AnyRow]:
        """
        Return error codes that were not in the dialect when they came, most frequent first.

        Each with its `short_code` (empty or None if it had none), `times`, `jobs`, `in_doubt`
        (jobs in doubt now), `first_at`, `last_at` and an `example`, the uid of one job.
        """
        return self._database.read(self._codes)

    def statuses(self) -> list[AnyRow]:
        """Return token statuses of answers that were not in the dialect, with the same columns."""
        return self._database.read(self._statuses)


def _counted(word: ColumnElement[str], *beside: ColumnElement[str]) -> AnySelect:
    # A row may stand for more conversations with the same words.
    times = func.sum(1 + ATTEMPTS.folded)
    doubtful = case((JOBS.state == State.IN_DOUBT, JOBS.partner_txn_uid))
    return (
        select(
            word.label("word"),
            *beside,
            func.max(Bytewise(ATTEMPTS.error_desc)).label("said"),
            times.label("times"),
            func.count(ATTEMPTS.partner_txn_uid.distinct()).label("jobs"),
            func.count(doubtful.distinct()).label("in_doubt"),
            func.min(ATTEMPTS.started_at).label("first_at"),
            func.max(ATTEMPTS.started_at).label("last_at"),
            func.max(Bytewise(ATTEMPTS.partner_txn_uid)).label("example"),
        )
        .select_from(cancel_attempts)
        .join(cancel_jobs, JOBS.partner_txn_uid == ATTEMPTS.partner_txn_uid)
        .group_by(word, *beside)
        .order_by(times.desc(), *(Bytewise(each).nulls_first() for each in (word, *beside)))
    )
