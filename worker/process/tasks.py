"""
The Celery tasks: thin doors that turn a message into a use case.

A task never raises and never calls Celery's retry, which drops the job while Redis is
down (measured). It gives a message back only where the message is the one copy of an
order and the database is away, and where its worker stops: another takes it at once.
"""

import json
import threading
from typing import Any, NoReturn

from celery import Celery
from celery.exceptions import Reject
from celery.signals import task_received

from worker.broker.app import CANCEL_TOKEN, KEEP_REJECTED, RECONCILE
from worker.broker.hints import Hints
from worker.domain.orders import Hint, Order, read_message
from worker.domain.states import FINAL
from worker.errors import InvalidOrder, StoreUnavailable
from worker.forksafe import PerProcess
from worker.jobs.attempt import Result, attempt
from worker.jobs.sweep import sweep
from worker.process.liveness import Liveness
from worker.runtime import Runtime
from worker.store import RejectedMessage, Status
from worker.telemetry.log import get_logger
from worker.telemetry.redaction import redact, redact_value

log = get_logger(__name__)

GIVE_BACK_PAUSE = 2.0
"""Seconds before a message is given back: an outage of the database is no hot loop."""

_warned_of_secret = threading.Event()


def register(app: Celery, runtime: PerProcess[Runtime], liveness: Liveness) -> None:
    """Put the three tasks of the contract at this application, each a sign of life."""
    # In the main process, also where children run the tasks.
    task_received.connect(lambda **_task: liveness.received(), weak=False)

    @app.task(name=CANCEL_TOKEN)
    def cancel_token(*args: Any, **kwargs: Any) -> None:
        with liveness.working():
            take(args, kwargs, runtime())

    @app.task(name=KEEP_REJECTED)
    def keep_rejected(*_args: Any, **kwargs: Any) -> None:
        with liveness.working():
            keep(_rejected(kwargs), runtime())

    @app.task(name=RECONCILE)
    def reconcile(*_args: Any, **_kwargs: Any) -> None:
        with liveness.working():
            _reconcile(Hints(app), runtime())


def _reconcile(hints: Hints, runtime: Runtime) -> None:
    try:
        sweep(runtime.sweep(hints))
    except StoreUnavailable as error:
        log.warning("reconcile_later", reason=str(error))
    except Exception:
        log.exception("reconcile_failed")


def take(args: tuple[Any, ...], kwargs: dict[str, Any], runtime: Runtime) -> None:
    """Accept what a message brings, then make one attempt. A worker that stops does neither."""
    if runtime.stopping():
        raise Reject("this worker stops", requeue=True)
    _warn_of_secret(kwargs)
    try:
        message = read_message(kwargs, uid_length=runtime.settings.uid_length)
        if isinstance(message, Order):
            message = message.of(runtime.roster.resolve(message.partner_id))
    except InvalidOrder as error:
        detail = f"{error}; positional arguments are not read" if args else str(error)
        keep(_unreadable(error.reason, detail, args, kwargs), runtime)
        return
    if isinstance(message, Order) and not _accept(message, kwargs, runtime):
        return
    _attempt(message, kwargs, runtime)


def _accept(order: Order, kwargs: dict[str, Any], runtime: Runtime) -> bool:
    """Store the order before anything else; False where that conflicts, or its job has ended."""
    try:
        acceptance = runtime.store.jobs.accept(order.row(), hinted=True)
    except StoreUnavailable as error:
        _give_back(error)
    if acceptance.status is Status.CONFLICT:
        log.warning("conflict", partner_txn_uid=order.partner_txn_uid)
        detail = "this partnerTxnUid is stored with other content; the stored job stands"
        keep(_unreadable("conflict", detail, (), kwargs), runtime)
        return False
    # Thousands of deliveries may follow a job's end: each costs one statement, not a claim.
    return acceptance.state not in FINAL


def _attempt(message: Hint, kwargs: dict[str, Any], runtime: Runtime) -> None:
    uid = message.partner_txn_uid
    try:
        result = attempt(uid, runtime.attempt_context)
        if result is Result.UNKNOWN and not isinstance(message, Order):
            _keep_hint_without_job(uid, kwargs, runtime)
    except StoreUnavailable as error:
        # The row exists, or the producer's own transaction will bring it: the sweep comes back.
        log.warning("attempt_later", partner_txn_uid=uid, reason=str(error))
    except Exception:
        # A defect of ours must not end the worker; the lease ends and the job is in doubt.
        log.exception("attempt_failed", partner_txn_uid=uid)


def _keep_hint_without_job(uid: str, kwargs: dict[str, Any], runtime: Runtime) -> None:
    """A hint may run ahead of its row's commit, and then the sweep finds the row; else: keep it."""
    if not runtime.store.jobs.exists(uid):
        detail = "no job is stored under this partnerTxnUid, and the message names no token"
        keep(_unreadable("unknown_job", detail, (), kwargs), runtime)


def keep(message: RejectedMessage, runtime: Runtime) -> None:
    """Keep a message that could not become a job. Gives it back where the database is away."""
    try:
        runtime.store.rejected_messages.keep(message)
    except StoreUnavailable as error:
        _give_back(error)
    log.warning("message_rejected", reason=message.reason, detail=message.detail)


def _give_back(error: StoreUnavailable) -> NoReturn:
    """Leave the message with the broker: it may be the only copy of an order."""
    log.warning("message_given_back", reason=str(error))
    threading.Event().wait(GIVE_BACK_PAUSE)
    raise Reject(str(error), requeue=True) from error


def _unreadable(
    reason: str, detail: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> RejectedMessage:
    """Return the message as it is kept: redacted, as JSON."""
    content = redact_value({"args": args, "kwargs": kwargs})
    body = json.dumps(content, ensure_ascii=True, default=str)
    uid = kwargs.get("partnerTxnUid")
    return RejectedMessage(
        reason=reason,
        detail=redact(detail),
        body=body,
        task=CANCEL_TOKEN,
        uid=redact(uid) if isinstance(uid, str) and uid.isascii() and uid.isprintable() else None,
    )


def _rejected(kwargs: dict[str, Any]) -> RejectedMessage:
    """Read what `worker.broker.consumer` sends of a message that Celery could not hand over."""
    return RejectedMessage(
        reason=str(kwargs.get("reason", "unknown")),
        detail=redact(str(kwargs.get("detail", ""))),
        body=redact(str(kwargs.get("body", ""))),
        task=str(kwargs["task"]) if kwargs.get("task") else None,
    )


def _warn_of_secret(kwargs: dict[str, Any]) -> None:
    if "partnerSecret" in kwargs and not _warned_of_secret.is_set():
        _warned_of_secret.set()
        log.warning("secret_in_message", advice="a producer sends partnerSecret; it is ignored")
