"""Where outcomes are sent: a webhook of the order system, and a task of its Celery."""

from enum import StrEnum


class Destination(StrEnum):
    """A way in which outcomes go back; each event is delivered once by each that is set."""

    WEBHOOK = "webhook"
    MESSAGE = "message"


class EndpointMode(StrEnum):
    """Whether a destination is served: yes, or not until an operator enables it."""

    ACTIVE = "active"
    DISABLED = "disabled"
