"""What Celery and kombu write past the log while a worker runs."""

from typing import Any

from celery.apps import worker as program
from kombu.transport.virtual import base as virtual

from worker.telemetry.log import get_logger

log = get_logger(__name__)

SHUTDOWN = "shutdown (MainProcess)"
"""What Celery prints at a signal. `worker.process.shutdown` says more."""


def silence() -> None:
    """Let what they write become events of the log."""
    program.safe_say = _say  # type: ignore[attr-defined]  # missing in celery-types
    virtual.emergency_dump_state = _not_restored  # type: ignore[attr-defined]  # the same


def _say(text: str, *_stream: Any) -> None:
    if SHUTDOWN not in text:
        log.info("celery_says", text=text)


def _not_restored(messages: list[Any], **_options: Any) -> None:
    """
    Say how many messages could not be given back.

    kombu would write them, with their bodies, to a file under /tmp. The broker still has them.
    """
    log.error("messages_not_given_back", messages=len(messages))
