"""
Broken builds: `python -m tests.survival.mutants NAME …` breaks the product, then runs it.

Each takes away one thing that holds the promise, so that a test can see the checker fail.
"""
# ruff: noqa: SLF001 - whoever breaks a product reaches into it

import sys
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import bindparam

from worker.broker import app
from worker.cli import main
from worker.domain.answer import Answer
from worker.domain.states import FINAL, State
from worker.jobs import attempt
from worker.process import loop
from worker.store.jobs import claim as claiming
from worker.store.jobs import jobs
from worker.store.jobs import settle as settling
from worker.store.jobs.attempts import Attempts
from worker.store.schema.tables import JOBS


def no_fence() -> None:
    """Let a worker settle a job whose lease it has lost."""
    settle = settling.settle_statement

    @cache
    def unfenced(event: Any, source: Any) -> Any:
        statement = settle(event, source)
        fence = str(settling.still_held())
        kept = tuple(clause for clause in statement._where_criteria if str(clause) != fence)
        if source is State.IN_FLIGHT and len(kept) == len(statement._where_criteria):
            raise LookupError(fence)
        statement._where_criteria = kept
        return statement

    jobs.settle_statement = unfenced  # type: ignore[attr-defined]
    # The key of the evidence is a second fence: it has to go as well.
    keep = Attempts.keep

    def keep_somehow(self: Attempts, connection: Any, *rest: Any) -> None:
        with connection.begin_nested() as savepoint:
            try:
                keep(self, connection, *rest)
            except Exception:  # noqa: BLE001 - whatever held it up, it is to go on
                savepoint.rollback()

    Attempts.keep = keep_somehow  # type: ignore[assignment, method-assign]


def no_lease() -> None:
    """Let every delivery claim a job that is not final, whoever holds it."""
    claim = claiming.claim_statement

    def always() -> Any:
        statement = claim()
        statement._where_criteria = (
            JOBS.partner_txn_uid == bindparam("uid"),
            JOBS.state.not_in(sorted(FINAL)),
        )
        return statement

    claiming.claim_statement = always
    jobs.claim_statement = always  # type: ignore[attr-defined]


def ack_early() -> None:
    """Acknowledge a message before its job is done, and look for no lost one."""
    tasks = app._tasks

    def early() -> dict[str, Any]:
        return tasks() | {"task_acks_late": False}

    app._tasks = early
    loop.Loop.start = lambda _self: None  # type: ignore[assignment, method-assign]
    loop.Loop.stop = lambda _self: None  # type: ignore[assignment, method-assign]


def outcome_first() -> None:
    """Write the outcome, and ask the bank afterwards."""
    ask = attempt._ask

    def pretend(claim: Any, partner: Any, watch: Any) -> Answer:
        threading.Thread(target=ask, args=(claim, partner, watch)).start()
        request = claim.on_the_wire
        body = (
            f'{{"partnerTxnUid": "{request.partner_txn_uid}", "partnerId": "{request.partner_id}",'
            f' "statusCode": "00", "tokenList": [{{"tokenId": "{request.token_id}",'
            f' "reference1": "{request.reference1}", "status": "CANCELLED"}}]}}'
        )
        return Answer.read(http_status=200, headers={}, body=body.encode(), at=claim.started_at)

    attempt._ask = pretend


MUTANTS: dict[str, Callable[[], None]] = {
    "no-fence": no_fence,
    "no-lease": no_lease,
    "ack-early": ack_early,
    "outcome-first": outcome_first,
}

if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)]()
    sys.exit(main())
