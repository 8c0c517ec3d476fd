"""
The worker's consumer: Celery gets what it can run, and everything else is kept.

Measured with Celery 5.7.0: bodies such as `5` and `[[]]` end its worker, unknown tasks and
unreadable bodies are thrown away with their whole content in the log.
"""

import logging
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final

from celery.bootsteps import RUN  # type: ignore[attr-defined]  # missing in celery-types
from celery.worker.consumer import Consumer as CeleryConsumer

from worker.broker.consumer.messages import normalize
from worker.broker.consumer.reports import InvalidMessage, report_of
from worker.telemetry.log import get_logger

MEASURED: Final = "5.7."

Handler = Callable[[Any], object]

logger = logging.getLogger(__name__)
log = get_logger(__name__)
if not version("celery").startswith(MEASURED):
    log.warning("celery_not_measured", celery=version("celery"), measured=MEASURED)


class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[misc, valid-type]  # to its stubs a variable
    """
    Celery's steps, without the one for delayed messages.

    Beside quorum queues it makes 28 others, and nothing here is sent to be delayed.
    """

    default_steps = [  # noqa: RUF012 - Celery's own attribute
        step
        for step in CeleryConsumer.Blueprint.default_steps
        if "delayed_delivery" not in str(step)
    ]


class Consumer(CeleryConsumer):
    """Celery's consumer, which no message can end and which throws none away."""

    Blueprint = Blueprint
    strategies: dict[str, Any]
    connection_errors: tuple[type[Exception], ...]

    def __init__(
        self, *args: Any, worker_options: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        # Gossip keeps a second connection open, without which a worker with all slots busy never
        # notices that Redis went away (measured, 10 of 10). The other two serve remote control.
        options = dict(worker_options or {}) | {
            "without_gossip": False,
            "without_mingle": True,
            "without_heartbeat": True,
        }
        # At DEBUG it writes the arguments of every task (measured).
        logging.getLogger("celery.pool").setLevel(logging.INFO)
        init: Any = super().__init__
        init(*args, **kwargs, worker_options=options)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Handler:
        """Return what receives every message; it raises only when the broker is lost."""
        handle: Handler = super().create_task_handler(*args, **kwargs)

        def on_message(message: Any) -> None:
            try:
                normalize(message, tasks=self.strategies)
            except InvalidMessage as refusal:
                self._keep(message, refusal)
            except Exception as error:  # noqa: BLE001 -- no message may end the loop
                self._keep(message, InvalidMessage("unexpected", type(error).__name__))
            else:
                self._hand_over(handle, message)

        return on_message

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Keep a body that kombu could not unpack, decode or was told to refuse."""
        self._keep(message, InvalidMessage("bad_encoding", type(exc).__name__))

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Keep what slipped through `normalize`; so do the next two."""
        del body
        self._keep(message, InvalidMessage("wrong_shape", "refused by Celery"))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Keep it; Celery would log the whole body and drop it."""
        del body, exc
        self._keep(message, InvalidMessage("unknown_task", "refused by Celery"))

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Keep it; Celery would log the whole body and drop it."""
        del body
        self._keep(message, InvalidMessage("wrong_shape", type(exc).__name__))

    def _hand_over(self, handle: Handler, message: Any) -> None:
        task: str = message.headers["task"]
        try:
            handle(message)
        except Exception as error:
            # kombu counts KeyError among the lost connections of Redis; here it is an error.
            if isinstance(error, self.connection_errors) and not isinstance(error, KeyError):
                raise
            log.exception("message_not_handed_over", task=task)
            # Not acknowledged, it is delivered again; kept while we stop, it would be parked.
            # The report itself is never reported again: that would go round for ever.
            if self.blueprint.state == RUN and task != self.app.conf.kplus_keep_task:
                self._keep(message, InvalidMessage("unexpected", type(error).__name__, task=task))

    def _keep(self, message: Any, refusal: InvalidMessage) -> None:
        """Send the message on as a report, then acknowledge it; failing that, do neither."""
        event = log.bind(reason=refusal.reason, detail=str(refusal), task=refusal.task)
        keep = self.app.conf.kplus_keep_task
        try:
            report = report_of(message.body, refusal)
            self.app.send_task(keep, kwargs=report, kwargsrepr="", retry=False)
        except Exception as error:  # noqa: BLE001 -- unacknowledged, it is delivered again
            event.warning("rejected_message_not_kept", error=type(error).__name__)
            return
        event.warning("message_rejected")
        if not message.acknowledged:
            message.ack_log_error(logger, self.connection_errors)
