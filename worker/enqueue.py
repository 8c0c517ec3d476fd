"""
The interface for producers: it stores the row first and sends the message second.

    receipt = enqueue_cancel(partner_txn_uid="…", token_id="…", reference1="…")

A call never fails because the broker is down or hangs, and never waits for it longer than
`BUDGET`: the sweep of any worker finds the row.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from worker.broker.hints import Hints
from worker.config.settings import Settings, load_settings
from worker.config.sources import PREFIX
from worker.domain.orders import Order, read_order
from worker.domain.partners import UnknownPartner
from worker.domain.states import Outcome, State
from worker.errors import InvalidOrder, StoreUnavailable
from worker.forksafe import PerProcess, once
from worker.runtime import Runtime, broker_url, create_celery
from worker.store import Acceptance, RejectedMessage, Status, connection_of
from worker.telemetry.redaction import redact_value

AnySession = Session | Connection | scoped_session[Session]
BUDGET = timedelta(seconds=1.5)
"""The longest wait for the broker."""
BROKER_TIMEOUT = timedelta(seconds=1)
"""The longest wait for one answer of the broker."""
CHUNK = 1000
"""Orders in one statement of `enqueue_many`."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    What became of an order, and the state of its job.

    `accepted`: stored now. `duplicate`: stored before, with the same content.
    `conflict`: stored before with other content, which is unchanged; the order is kept in
    `rejected_messages`. `invalid`, from `enqueue_many` only: nothing was stored, `reason` names
    every wrong field, `state` is None, and the uid is empty if the order has none. `warning` says
    that nobody may serve the order, since its partner is not configured where it was handed in.
    """

    partner_txn_uid: str
    status: Status
    state: State | None
    outcome: Outcome | None = None
    reason: str | None = None
    warning: str | None = None


class Producer:
    """
    Enqueues orders with one database engine and one broker connection pool.

    Threads may share it. Make one in each process, after any fork, and close it at the end.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._runtime = Runtime(settings or load_settings())

    @once
    def _hints(self) -> Hints | None:
        settings = self._runtime.settings
        url = broker_url(settings)
        if url is None:
            return None
        return Hints(create_celery(settings, url=url, timeout=BROKER_TIMEOUT))

    def enqueue(
        self, order: Order | Mapping[str, Any], *, session: AnySession | None = None
    ) -> Receipt:
        """
        Store one order and send a hint.

        With `session` the row joins the caller's transaction, and the sweep finds it after the
        commit: no message can arrive before it. Raises `InvalidOrder`, which names every wrong
        field, `SettingsError` and `StoreUnavailable`: then nothing was stored. Raises TypeError if
        `session` is none that a row can join: an `AsyncSession` is passed by its `run_sync`.
        """
        if session is None:
            _ = self._hints  # raises for an unusable broker URL before the row is stored
        complete = self._complete(order)
        connection = connection_of(session, self._runtime.store.database)
        jobs = self._runtime.store.jobs
        hinted = connection is None and self._can_send
        acceptance = jobs.accept(complete.row(), hinted=hinted, connection=connection)
        if acceptance.status is Status.ACCEPTED and hinted:
            self._send([complete.partner_txn_uid])
        return self._conclude(complete, acceptance, connection)

    def enqueue_many(
        self,
        orders: Iterable[Order | Mapping[str, Any]],
        *,
        session: AnySession | None = None,
        chunk: int = CHUNK,
        dry_run: bool = False,
    ) -> Iterator[Receipt]:
        """
        Store orders by the thousand. Yield a receipt for each, in input order.

        It reads at most one chunk ahead, and each chunk is one transaction: after an interruption
        send the same orders again, and those that are stored are duplicates. For an invalid order
        it yields a receipt, and raises nothing. It sends a few hints that open runs (ADR 29); the
        sweep sends the others. With `session` all rows join the caller's transaction. A dry run
        stores nothing, and `accepted` means that it would be. Raises `SettingsError` and
        `StoreUnavailable`: then nothing of the chunk under way was stored.
        """
        if session is None:
            _ = self._hints
        if dry_run:
            for batch in _chunks(orders, chunk):
                yield from self._compare(batch)
            return
        connection = connection_of(session, self._runtime.store.database)
        room = self._runtime.runs_waiting if connection is None and self._can_send else 0
        for batch in _chunks(orders, chunk):
            receipts = self._accept(batch, connection, room)
            room -= sum(receipt.status is Status.ACCEPTED for receipt in receipts[:room])
            yield from receipts

    def _accept(
        self, orders: Sequence[object], connection: Connection | None, room: int
    ) -> list[Receipt]:
        read = [self._read(order) for order in orders]
        receipts: list[Receipt | None] = [
            each if isinstance(each, Receipt) else None for each in read
        ]
        left = [(at, each) for at, each in enumerate(read) if isinstance(each, Order)]
        while left:
            # If a uid comes twice in a chunk, the second one waits for the next wave.
            wave = {order.partner_txn_uid: (at, order) for at, order in reversed(left)}
            first = {at for at, _ in wave.values()}
            hinted = {order.partner_txn_uid for at, order in wave.values() if at < room}
            done = self._runtime.store.bulk.accept(
                [order.row() for _, order in wave.values()], hinted=hinted, connection=connection
            )
            for at, order in wave.values():
                receipts[at] = self._conclude(order, done[order.partner_txn_uid], connection)
            new = [uid for uid in hinted if done[uid].status is Status.ACCEPTED]
            if new and self._hints is not None:
                self._send(new)
            left = [(at, order) for at, order in left if at not in first]
        return [receipt for receipt in receipts if receipt is not None]

    @property
    def _can_send(self) -> bool:
        """Whether hints can be sent now: a stamp without a message would only delay its job."""
        return self._hints is not None and not self._hints.is_paused

    def _send(self, uids: list[str]) -> None:
        """Send hints; leave those that were not sent to the next pass of the sweep."""
        unsent = self._hints.send_within(uids, BUDGET) if self._hints is not None else []
        # Their orders are stored: with this undone, the sweep hints once the stamps have aged.
        with suppress(StoreUnavailable):
            self._runtime.store.backlog.unhint(unsent)

    def _compare(self, orders: Sequence[object]) -> Iterator[Receipt]:
        read = [self._read(order) for order in orders]
        rows = [each.row() for each in read if isinstance(each, Order)]
        done = self._runtime.store.bulk.compare(rows)
        for each in read:
            if isinstance(each, Receipt):
                yield each
            else:
                yield self._receipt(each, done[each.partner_txn_uid])

    def _read(self, order: object) -> Order | Receipt:
        """Return the complete order, or a receipt with the reason why it is invalid."""
        try:
            if not isinstance(order, Order | Mapping):
                raise InvalidOrder("an order is a mapping of its fields")  # noqa: TRY301
            return self._complete(order)
        except InvalidOrder as error:
            uid = _uid_of(order)
            return Receipt(uid, Status.INVALID, None, reason=str(error))

    def _conclude(
        self, order: Order, acceptance: Acceptance, connection: Connection | None
    ) -> Receipt:
        """Return the receipt. Keep the order of a conflict."""
        if acceptance.status is Status.CONFLICT:
            rejected = self._runtime.store.rejected_messages
            rejected.keep(_conflict(order), counted=False, connection=connection)
        return self._receipt(order, acceptance)

    def _receipt(self, order: Order, acceptance: Acceptance) -> Receipt:
        """Return what became of an order; at one of the known partners nothing is warned of."""
        stranger = self._runtime.roster.stranger(str(order.partner_id))
        uid, status = order.partner_txn_uid, acceptance.status
        warning = stranger or None
        return Receipt(uid, status, acceptance.state, acceptance.outcome, warning=warning)

    def close(self) -> None:
        """Close the connections to the database."""
        self._runtime.close()

    def _complete(self, order: Order | Mapping[str, Any]) -> Order:
        if not isinstance(order, Order):
            order = read_order(order, uid_length=self._runtime.settings.uid_length)
        roster, settings = self._runtime.roster, self._runtime.settings
        partner_id = roster.resolve(order.partner_id, default=settings.partner_id)
        stranger = roster.stranger(partner_id)
        if stranger and settings.unknown_partner is UnknownPartner.REFUSE:
            raise InvalidOrder(f"partnerId: {stranger}", reason="unknown_partner")
        return order.of(partner_id)


def enqueue_cancel(  # noqa: PLR0913 - the contract's own keywords
    *,
    partner_txn_uid: str,
    token_id: str,
    reference1: str,
    partner_id: str | None = None,
    expires_at: datetime | str | float | None = None,
    session: AnySession | None = None,
) -> Receipt:
    """
    Store one cancel order and send a hint, with the settings of the environment.

    It promises what `Producer.enqueue` promises.
    """
    order = {
        "partner_txn_uid": partner_txn_uid,
        "token_id": token_id,
        "reference1": reference1,
        "partner_id": partner_id,
        "expires_at": expires_at,
    }
    return _producer().enqueue(order, session=session)


def enqueue_many(
    orders: Iterable[Order | Mapping[str, Any]], *, session: AnySession | None = None
) -> Iterator[Receipt]:
    """
    Store orders by the thousand, with the settings of the environment; receipts in input order.

    It stores nothing before the first receipt is read. It promises what `Producer.enqueue_many`
    promises.
    """
    yield from _producer().enqueue_many(orders, session=session)


def _chunks(orders: Iterable[object], size: int) -> Iterator[list[object]]:
    rest = iter(orders)
    while chunk := list(islice(rest, size)):
        yield chunk


def _uid_of(order: object) -> str:
    """Return the uid of an order, even if the rest of it is wrong."""
    if isinstance(order, Mapping):
        uid = order.get("partner_txn_uid", order.get("partnerTxnUid"))
        return uid if isinstance(uid, str) else ""
    return str(getattr(order, "partner_txn_uid", ""))


def _settings_given() -> frozenset[tuple[str, str]]:
    return frozenset(item for item in os.environ.items() if item[0].upper().startswith(PREFIX))


_producer = PerProcess(Producer, key=_settings_given)


def _conflict(order: Order) -> RejectedMessage:
    return RejectedMessage(
        reason="conflict",
        detail="this partnerTxnUid is stored with other content; the stored job stands",
        body=str(redact_value(order.model_dump_json())),
        uid=order.partner_txn_uid,
    )
