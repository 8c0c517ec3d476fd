"""
The worker's consumer: Celery gets the messages that it can run, all others are stored.

Measured with Celery 5.7.0: bodies such as `5` and `[[]]` end its worker. Unknown tasks and
unreadable bodies are thrown away, with their whole content in the log.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final

from celery.bootsteps import RUN  # type: ignore[attr-defined]  # missing in celery-types
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.consumer.gossip import Gossip
from celery.worker.state import maybe_shutdown
from kombu.exceptions import OperationalError

from worker.broker.consumer.messages import normalize
from worker.broker.consumer.outage import STEADY_SECONDS, Outage
from worker.broker.consumer.reports import InvalidMessage, report_of
from worker.broker.transports import is_rabbitmq
from worker.telemetry.about import PRODUCERS
from worker.telemetry.log import get_logger

MEASURED: Final = "5.7."
NOTHING_FOLLOWS: Final = f"the orders are taken; what should follow them is not called: {PRODUCERS}"

Handler = Callable[[Any], object]

logger = logging.getLogger(__name__)
log = get_logger(__name__)
if not version("celery").startswith(MEASURED):
    log.warning("celery_not_measured", celery=version("celery"), measured=MEASURED)


class DeafGossip(Gossip):
    """
    Celery's gossip, whose connection is all that is needed: what comes on it is not read.

    Anybody who may write to the broker can publish there. Measured: on RabbitMQ a body that is no
    JSON ended every worker, and each worker remembers what others say about themselves.
    """

    def on_message(self, prepare: Any, message: Any) -> None:
        """Drop it."""


class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[misc, valid-type]  # to its stubs a variable
    """
    Celery's steps, with a deaf gossip, and without the step for delayed messages.

    With quorum queues that step declares 28 more queues, and no message here is delayed.
    """

    default_steps = [  # noqa: RUF012 - Celery's own attribute
        DeafGossip if "gossip" in str(step) else step
        for step in CeleryConsumer.Blueprint.default_steps
        if "delayed_delivery" not in str(step)
    ]


class Consumer(CeleryConsumer):
    """Celery's consumer, which no message can end and which loses none."""

    Blueprint = Blueprint
    strategies: dict[str, Any]
    connection_errors: tuple[type[Exception], ...]
    conninfo: Any
    timer: Any

    def __init__(
        self, *args: Any, worker_options: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        # Gossip keeps a second connection open. Without it a worker with all slots busy never
        # notices an outage of Redis (measured, 10 of 10). RabbitMQ's one connection is always
        # listened to. The other two serve remote control.
        url = str(kwargs["app"].conf["broker_url"])
        options = dict(worker_options or {}) | {
            "without_gossip": is_rabbitmq(url),
            "without_mingle": True,
            "without_heartbeat": True,
        }
        # At DEBUG it writes the arguments of every task (measured).
        logging.getLogger("celery.pool").setLevel(logging.INFO)
        self._told: set[str] = set()
        self._outage = Outage()
        self._outage.quiet_celery()
        init: Any = super().__init__
        init(*args, **kwargs, worker_options=options)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Handler:
        """Return the handler of every message. It raises only if the broker is lost."""
        handle: Handler = super().create_task_handler(*args, **kwargs)

        def on_message(message: Any) -> None:
            try:
                followers = normalize(message, tasks=self.strategies)
            except InvalidMessage as invalid:
                self._keep(message, invalid)
            except Exception as error:  # noqa: BLE001 -- no message may end the loop
                self._keep(message, InvalidMessage("unexpected", type(error).__name__))
            else:
                self._say_that_nothing_follows(followers)
                self._pass_on(handle, message)

        return on_message

    def _say_that_nothing_follows(self, followers: Iterable[str]) -> None:
        """Say so once of each kind: a producer that links one task links all of them."""
        for what in set(followers) - self._told:
            self._told.add(what)
            log.warning("nothing_follows_this_task", what=what, advice=NOTHING_FOLLOWS)

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection once it stands. Celery waits only for a broker that is away."""
        expected = (*conn.connection_errors, *conn.channel_errors, OperationalError)
        while True:
            self._outage.wait(maybe_shutdown)
            try:
                conn.ensure_connection(max_retries=0)
            except expected as error:
                self._failed(error, conn)
                conn.maybe_switch_next()
            else:
                self.first_connection_attempt = False
                return conn

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Connect anew, after a wait that grows."""
        self._failed(exc, self.conninfo)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Connect anew: at once, or after a wait that grows if that does not help."""
        self._failed(exc, self.conninfo)
        super().on_connection_error_after_connected(exc)

    def on_ready(self) -> None:
        """Consume. If nothing fails for a while, the outage is over."""
        super().on_ready()
        if failures := self._outage.failures:
            self.timer.call_after(STEADY_SECONDS, self._outage.over, kwargs={"failures": failures})

    def _failed(self, error: Exception, conn: Any) -> None:
        broker = f"{conn.hostname or '127.0.0.1'}:{conn.port or conn.transport.default_port}"
        self._outage.failed(error, broker=f"{broker}/{str(conn.virtual_host).lstrip('/')}")

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Keep a body that kombu could not unpack or decode, or must refuse."""
        self._keep(message, InvalidMessage("bad_encoding", type(exc).__name__))

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Keep what `normalize` did not catch. So do the next two methods."""
        del body
        self._keep(message, InvalidMessage("wrong_shape", "refused by Celery"))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Keep it: Celery would log the whole body and drop it."""
        del body, exc
        self._keep(message, InvalidMessage("unknown_task", "refused by Celery"))

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Keep it: Celery would log the whole body and drop it."""
        del body
        self._keep(message, InvalidMessage("wrong_shape", type(exc).__name__))

    def _pass_on(self, handle: Handler, message: Any) -> None:
        task: str = message.headers["task"]
        try:
            handle(message)
        except Exception as error:
            # For kombu a KeyError is a lost connection of Redis; here it is an error.
            if isinstance(error, self.connection_errors) and not isinstance(error, KeyError):
                raise
            log.exception("message_not_handed_over", task=task)
            # Without an acknowledgement it is delivered again: a message must not be kept because
            # this worker stops. A report is never reported itself: that would never end.
            if self.blueprint.state == RUN and task != self.app.conf.kplus_keep_task:
                self._keep(message, InvalidMessage("unexpected", type(error).__name__, task=task))

    def _keep(self, message: Any, invalid: InvalidMessage) -> None:
        """Send a report about the message, then acknowledge it. If sending fails, do neither."""
        event = log.bind(reason=invalid.reason, detail=str(invalid), task=invalid.task)
        keep = self.app.conf.kplus_keep_task
        try:
            report = report_of(message.body, invalid)
            self.app.send_task(keep, kwargs=report, kwargsrepr="", retry=False)
        except Exception as error:  # noqa: BLE001 -- unacknowledged, it is delivered again
            event.warning("rejected_message_not_kept", error=type(error).__name__)
            return
        event.warning("message_rejected")
        if not message.acknowledged:
            message.ack_log_error(logger, self.connection_errors)
