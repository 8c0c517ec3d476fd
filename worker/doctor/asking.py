"""Asks the configured broker by the worker's own transport, within a time."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from worker.config.settings import Settings
from worker.errors import BrokerUnavailable, SettingsError
from worker.runtime import broker_url, create_celery
from worker.telemetry.redaction import redact

ANSWER_TIMEOUT: Final = timedelta(seconds=3)
"""The longest wait for one answer of the broker."""
NO_SUCH_DATABASE: Final = "DB index is out of range"
"""What Redis answers where it has fewer databases than the URL's number."""
_MOST_ANSWERS: Final = 4

Answer = TypeVar("Answer")


def ask(settings: Settings, question: Callable[[Any], Answer]) -> Answer:
    """
    Return what `question` finds on a connection. It may raise anything of the client's.

    Raises `SettingsError` for the URL, and `BrokerUnavailable` for everything else.
    """
    answers: list[Answer] = []
    faults: list[Exception] = []

    def run() -> None:
        try:
            app = create_celery(settings, url=broker_url(settings) or "", timeout=ANSWER_TIMEOUT)
            with app.connection_for_write() as connection:
                answers.append(question(connection))
        except Exception as error:  # noqa: BLE001 - any error is the finding
            faults.append(error)

    asking = threading.Thread(target=run, daemon=True)
    # The client looks names up without a timeout.
    asking.start()
    asking.join(_MOST_ANSWERS * ANSWER_TIMEOUT.total_seconds())
    if answers:
        return answers[0]
    if not faults:
        raise BrokerUnavailable("the broker does not answer in time")
    if isinstance(faults[0], SettingsError):
        raise faults[0]
    text = redact(str(faults[0])).partition("\n")[0] or type(faults[0]).__name__
    raise BrokerUnavailable(f"the broker cannot be used: {text}") from None
