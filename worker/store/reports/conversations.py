"""The stored answers of each job, read to be judged again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import BindParameter, Connection, bindparam, select

from worker.domain.kplus import CancelRequest
from worker.domain.rejudgement import Conversation
from worker.domain.states import State
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.schema.tables import JOBS, cancel_attempts, token_statuses

BATCH = 200
"""Jobs that are read at once, each with all its conversations: hundreds at the most."""
ATTEMPTS = cancel_attempts.c
TOKENS = token_statuses.c


@dataclass(frozen=True, slots=True)
class JobConversations:
    """A job, and the conversations in which the bank answered, in their order."""

    uid: str
    partner_id: str
    state: State
    conversations: tuple[Conversation, ...]


class Conversations:
    """The statements that read stored answers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._jobs = select(
            JOBS.partner_txn_uid, JOBS.partner_id, JOBS.token_id, JOBS.reference1, JOBS.state
        ).order_by(JOBS.partner_txn_uid)
        these: BindParameter[str] = bindparam("uids", expanding=True)
        self._attempts = (
            select(
                ATTEMPTS.partner_txn_uid,
                ATTEMPTS.number,
                ATTEMPTS.wire_uid,
                ATTEMPTS.heard,
                ATTEMPTS.http_status,
                ATTEMPTS.status_code,
                ATTEMPTS.error_code,
                ATTEMPTS.error_desc,
                ATTEMPTS.short_code,
            )
            .where(ATTEMPTS.partner_txn_uid.in_(these), ATTEMPTS.http_status.is_not(None))
            .order_by(ATTEMPTS.partner_txn_uid, ATTEMPTS.number)
        )
        self._tokens = (
            select(TOKENS.partner_txn_uid, TOKENS.number, TOKENS.token_id, TOKENS.status)
            .where(TOKENS.partner_txn_uid.in_(these))
            .order_by(TOKENS.partner_txn_uid, TOKENS.number, TOKENS.position)
        )

    def all(
        self, *, in_doubt: bool = False, batch: int = BATCH
    ) -> Iterator[list[JobConversations]]:
        """
        Yield every job, or every job in doubt, with its stored answers, in batches.

        Each comes once, ordered by uid, whatever changes meanwhile.
        """
        chosen = self._jobs.where(JOBS.state == State.IN_DOUBT) if in_doubt else self._jobs
        after = ""
        while True:
            page = chosen.where(JOBS.partner_txn_uid > after).limit(batch)
            with self._database.reading() as connection:
                rows = rows_of(connection, page, {})
                found = self.of(connection, rows)
            if found:
                yield found
                after = found[-1].uid
            if len(rows) < batch:
                return

    def of(self, connection: Connection, jobs: Sequence[AnyRow]) -> list[JobConversations]:
        """Return the stored answers of these jobs, in their order."""
        uids = {"uids": [job.partner_txn_uid for job in jobs]}
        tokens_of: dict[tuple[str, int], list[tuple[str | None, str | None]]] = {}
        for row in rows_of(connection, self._tokens, uids):
            tokens_of.setdefault((row.partner_txn_uid, row.number), []).append(
                (row.token_id, row.status)
            )
        attempts_of = {
            uid: tuple(rows)
            for uid, rows in groupby(
                rows_of(connection, self._attempts, uids), key=lambda row: row.partner_txn_uid
            )
        }
        return [
            JobConversations(
                uid=job.partner_txn_uid,
                partner_id=job.partner_id,
                state=State(job.state),
                conversations=tuple(
                    _conversation(job, row, tokens_of.get((row.partner_txn_uid, row.number), []))
                    for row in attempts_of.get(job.partner_txn_uid, ())
                ),
            )
            for job in jobs
        ]


def _conversation(
    job: AnyRow, row: AnyRow, tokens: list[tuple[str | None, str | None]]
) -> Conversation:
    return Conversation(
        number=row.number,
        request=CancelRequest(row.wire_uid, job.partner_id, job.token_id, job.reference1),
        heard=row.heard,
        http_status=row.http_status,
        status_code=row.status_code,
        error_code=row.error_code,
        error_desc=row.error_desc,
        short_code=row.short_code,
        tokens=tuple(tokens),
    )
