"""
The Celery tasks: each turns a message into a use case.

A task never calls Celery's retry, which drops the job while Redis is down (measured). It raises
only to return a message to the queue: if the message is the only copy of an order and the
database is unavailable, and if its worker stops, so that another takes it at once.
"""

import json
import threading
from collections.abc import Callable, Mapping
from typing import NoReturn

from celery import Celery
from celery.exceptions import Reject
from celery.signals import task_received

from worker.broker.app import CANCEL_TOKEN, KEEP_REJECTED, RECONCILE
from worker.broker.consumer.reports import REASONS
from worker.broker.hints import Hints
from worker.domain.orders import Hint, Order, read_message
from worker.domain.states import FINAL
from worker.errors import InvalidOrder, StoreUnavailable
from worker.forksafe import PerProcess
from worker.jobs.context import Result
from worker.jobs.sweep import sweep
from worker.process.liveness import Liveness
from worker.runtime import Runtime
from worker.store import RejectedMessage, Status, is_locked
from worker.telemetry.log import get_logger
from worker.telemetry.redaction import redact, redact_cut, redact_value

log = get_logger(__name__)

RETURN_PAUSE_SECONDS = 2.0
"""The wait before a message is returned, so that an outage of the database is no busy loop."""

_READ_LENGTH = 32 * 1024
"""How much of a rejected message is redacted: twice what is kept of it."""
MOST_WARNED = 1000
"""After so many partners without credentials no other is warned of: the names are a sender's."""

_warned_of_secret = threading.Event()
_warned_of_partners: set[str] = set()


def register(app: Celery, runtime: PerProcess[Runtime], liveness: Liveness) -> None:
    """Register the three tasks of the contract, each marked as a sign of progress."""
    # Sent in the main process, also if child processes run the tasks.
    task_received.connect(lambda **_task: liveness.message_received(), weak=False)

    @app.task(name=CANCEL_TOKEN)
    def cancel_token(*args: object, **kwargs: object) -> None:
        with liveness.task_running() as progressed:
            handle_message(args, kwargs, runtime(), progressed)

    @app.task(name=KEEP_REJECTED)
    def keep_rejected(*_args: object, **kwargs: object) -> None:
        with liveness.task_running():
            store_rejected(read_report(kwargs), runtime())

    @app.task(name=RECONCILE)
    def reconcile(*_args: object, **_kwargs: object) -> None:
        with liveness.task_running():
            _sweep_once(Hints(app), runtime())


def _sweep_once(hints: Hints, runtime: Runtime) -> None:
    try:
        sweep(runtime.sweep(hints))
    except StoreUnavailable as error:
        log.warning("reconcile_later", reason=str(error))
    except Exception:
        log.exception("reconcile_failed")


def handle_message(
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    runtime: Runtime,
    progressed: Callable[[], object] = lambda: None,
) -> None:
    """
    Accept the order of a message, then begin a run with it. A worker that stops does neither.

    `progressed` is called between two jobs of the run.
    """
    if runtime.stopping():
        raise Reject("this worker stops", requeue=True)
    _warn_of_secret(kwargs)
    try:
        message = read_message(kwargs, uid_length=runtime.settings.uid_length)
        if isinstance(message, Order):
            message = message.of(runtime.roster.resolve(message.partner_id))
    except InvalidOrder as error:
        detail = f"{error}; positional arguments are not read" if args else str(error)
        store_rejected(_as_rejected(error.reason, detail, args, kwargs), runtime)
        return
    if isinstance(message, Order) and not _accept(message, kwargs, runtime):
        return
    _run(message, kwargs, runtime, progressed)


def _accept(order: Order, kwargs: Mapping[str, object], runtime: Runtime) -> bool:
    """Store the order first. Return False on a conflict, or if its job has ended."""
    try:
        acceptance = runtime.store.jobs.accept(order.row(), hinted=True)
    except StoreUnavailable as error:
        _return_message(error)
    except Exception as error:
        # The message may be the only copy of the order, and its failed task is acknowledged.
        log.exception("order_not_stored", partner_txn_uid=order.partner_txn_uid)
        detail = f"the database refused it: {type(error).__name__}"
        store_rejected(_as_rejected("unexpected", detail, (), kwargs), runtime)
        return False
    if acceptance.status is Status.CONFLICT:
        log.warning("conflict", partner_txn_uid=order.partner_txn_uid)
        detail = "this partnerTxnUid is stored with other content; the stored job stands"
        store_rejected(_as_rejected("conflict", detail, (), kwargs), runtime)
        return False
    if acceptance.status is Status.ACCEPTED:
        _warn_of_unknown_partner(str(order.partner_id), runtime)
    # Thousands of duplicates may follow a job's end. Each costs one statement, not a claim.
    return acceptance.state not in FINAL


def _run(
    message: Hint,
    kwargs: Mapping[str, object],
    runtime: Runtime,
    progressed: Callable[[], object],
) -> None:
    uid = message.partner_txn_uid
    try:
        result = runtime.runs.run(uid, progressed)
        if result is Result.UNKNOWN and not isinstance(message, Order):
            _store_hint_without_job(uid, kwargs, runtime)
    except StoreUnavailable as error:
        # The row exists, or the producer's transaction will commit it: the sweep finds it.
        log.warning("attempt_later", partner_txn_uid=uid, reason=str(error))
    except Exception:
        # A defect of ours must not end the worker. When the lease ends, the job is in doubt.
        log.exception("attempt_failed", partner_txn_uid=uid)


def _store_hint_without_job(uid: str, kwargs: Mapping[str, object], runtime: Runtime) -> None:
    """Store a hint without a row. If the row is committed later, the sweep finds it."""
    if not runtime.store.jobs.exists(uid):
        detail = "no job is stored under this partnerTxnUid, and the message names no token"
        store_rejected(_as_rejected("unknown_job", detail, (), kwargs), runtime)


def store_rejected(message: RejectedMessage, runtime: Runtime) -> None:
    """Store a message that cannot become a job, or return it if the database is unavailable."""
    try:
        runtime.store.rejected_messages.keep(message)
    except StoreUnavailable as error:
        _return_message(error)
    log.warning("message_rejected", reason=message.reason, detail=message.detail)


def _return_message(error: StoreUnavailable) -> NoReturn:
    """Return the message to the queue: it may be the only copy of an order."""
    log.warning("message_given_back", reason=str(error))
    # Where another transaction stores the same uid, the wait for it was pause enough.
    if not is_locked(error):
        threading.Event().wait(RETURN_PAUSE_SECONDS)
    raise Reject(str(error), requeue=True) from error


def _as_rejected(
    reason: str, detail: str, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> RejectedMessage:
    """Return the message as it is stored: redacted, as JSON."""
    return RejectedMessage(
        reason=reason,
        detail=redact(detail),
        body=_stored_body({"args": args, "kwargs": kwargs}),
        task=CANCEL_TOKEN,
        uid=_named(kwargs.get("partnerTxnUid")),
    )


def _named(uid: object) -> str | None:
    """Return the uid that a message names; None if it can be no uid, or holds a secret."""
    if not isinstance(uid, str) or not (uid.isascii() and uid.isprintable()):
        return None
    return uid if redact(uid) == uid else None


def _stored_body(content: Mapping[str, object]) -> str:
    """Return a message as JSON, redacted; of a long one the beginning: no more is kept."""
    whole = json.dumps(content, default=str)
    if len(whole) > _READ_LENGTH:
        return redact_cut(whole[:_READ_LENGTH])
    return json.dumps(redact_value(content), default=str)


def read_report(kwargs: Mapping[str, object]) -> RejectedMessage:
    """Read the report that `worker.broker.consumer` sends about a message that no task can run."""
    reason = kwargs.get("reason")
    return RejectedMessage(
        # Each reason is kept up to a bound: a sender that makes up reasons gets no more of them.
        reason=reason if isinstance(reason, str) and reason in REASONS else "unexpected",
        detail=_report_text(kwargs.get("detail", "")),
        body=_report_text(kwargs.get("body", "")),
        task=_report_text(kwargs["task"]) if kwargs.get("task") else None,
    )


def _report_text(value: object) -> str:
    """Return a text of a report, which any sender may imitate."""
    text = str(value)
    return redact(text) if len(text) <= _READ_LENGTH else redact_cut(text[:_READ_LENGTH])


def _warn_of_unknown_partner(partner_id: str, runtime: Runtime) -> None:
    """Warn once of each partner without credentials here: perhaps nobody can serve its jobs."""
    if partner_id in runtime.roster or partner_id in _warned_of_partners:
        return
    if len(_warned_of_partners) < MOST_WARNED:
        _warned_of_partners.add(partner_id)
        advice = "no credentials here: add it to the partners file, or discard its jobs"
        log.warning("unknown_partner", partner_id=partner_id, advice=advice)


def _warn_of_secret(kwargs: Mapping[str, object]) -> None:
    if "partnerSecret" in kwargs and not _warned_of_secret.is_set():
        _warned_of_secret.set()
        log.warning("secret_in_message", advice="a producer sends partnerSecret; it is ignored")
