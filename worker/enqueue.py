"""
The producers' door: the row first, the message second.

    receipt = enqueue_cancel(partner_txn_uid="…", token_id="…", reference1="…")

The row is what counts. A broker that is down or frozen never makes a call fail, and
never makes it wait longer than `BUDGET`: the sweep of any worker finds the row.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from worker.config import Settings, load_settings
from worker.hints import Hints
from worker.log import redact_value
from worker.orders import Order, read_order
from worker.processes import PerProcess, once
from worker.runtime import Runtime, broker_url, create_celery
from worker.sources import PREFIX
from worker.states import Outcome, State
from worker.store import Rejected, Status

BUDGET = timedelta(seconds=1.5)
"""The longest wait for the broker."""
PATIENCE = timedelta(seconds=1)
"""The longest wait for one answer of the broker."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    What became of an order, and where its job stands.

    `accepted`: stored now. `duplicate`: stored before, with the same content.
    `conflict`: stored before with other content, which stands; the order is kept aside.
    """

    partner_txn_uid: str
    status: Status
    state: State
    outcome: Outcome | None


class Producer:
    """
    Enqueues orders with one database engine and one broker connection pool.

    Thread-safe. Make one a process, after any fork, and close it at the end.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._runtime = Runtime(settings or load_settings())

    @once
    def _hints(self) -> Hints | None:
        settings = self._runtime.settings
        url = broker_url(settings)
        if url is None:
            return None
        return Hints(create_celery(settings, url=url, patience=PATIENCE))

    def enqueue(
        self, order: Order | Mapping[str, Any], *, session: Session | Connection | None = None
    ) -> Receipt:
        """
        Store one order and hint at it.

        With `session` the row joins the caller's transaction, and the sweep finds it
        once that is committed: no message can run ahead of it. Raises `InvalidOrder`
        naming every field that is wrong, `SettingsError` and `StoreUnavailable`: then
        nothing was stored.
        """
        if session is None:
            _ = self._hints  # a broker's URL that cannot be used is told before the row is there
        whole = self._whole(order)
        connection = session.connection() if isinstance(session, Session) else session
        jobs = self._runtime.store.jobs
        acceptance = jobs.accept(whole.row(), hinted=connection is None, connection=connection)
        if acceptance.status is Status.CONFLICT:
            self._runtime.store.messages.keep(_conflict(whole), connection=connection)
        elif acceptance.status is Status.ACCEPTED and connection is None:
            self._hint(whole.partner_txn_uid)
        return Receipt(
            whole.partner_txn_uid, acceptance.status, acceptance.state, acceptance.outcome
        )

    def close(self) -> None:
        """Close the connections to the database."""
        self._runtime.close()

    def _whole(self, order: Order | Mapping[str, Any]) -> Order:
        if not isinstance(order, Order):
            order = read_order(order, uid_length=self._runtime.settings.uid_length)
        assumed = self._runtime.settings.partner_id if not self._runtime.roster else None
        partner_id = order.partner_id or assumed
        return order.model_copy(update={"partner_id": self._runtime.roster.resolve(partner_id)})

    def _hint(self, uid: str) -> None:
        if self._hints is not None:
            self._hints.send_within([uid], BUDGET)


def enqueue_cancel(  # noqa: PLR0913 - the contract's own keywords
    *,
    partner_txn_uid: str,
    token_id: str,
    reference1: str,
    partner_id: str | None = None,
    expires_at: datetime | str | float | None = None,
    session: Session | Connection | None = None,
) -> Receipt:
    """
    Store one cancel order and hint at it, by the settings of the environment.

    See `Producer.enqueue` for what is promised.
    """
    order = {
        "partner_txn_uid": partner_txn_uid,
        "token_id": token_id,
        "reference1": reference1,
        "partner_id": partner_id,
        "expires_at": expires_at,
    }
    return _producer().enqueue(order, session=session)


def enqueue_many(orders: Iterable[Order | Mapping[str, Any]]) -> Iterator[Receipt]:
    """Enqueue orders one after another; receipts come in input order."""
    producer = _producer()
    for order in orders:
        yield producer.enqueue(order)


def _settings_given() -> frozenset[tuple[str, str]]:
    return frozenset(item for item in os.environ.items() if item[0].upper().startswith(PREFIX))


_producer = PerProcess(Producer, key=_settings_given)


def _conflict(order: Order) -> Rejected:
    return Rejected(
        reason="conflict",
        detail="this partnerTxnUid is stored with other content; the stored job stands",
        body=str(redact_value(order.model_dump_json())),
        uid=order.partner_txn_uid,
    )
