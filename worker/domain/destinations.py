"""Where outcomes are sent: to a webhook, and as a Celery task of the order system."""

from enum import StrEnum


class Destination(StrEnum):
    """A way to send outcomes; every configured one delivers each event once."""

    WEBHOOK = "webhook"
    MESSAGE = "message"


class EndpointMode(StrEnum):
    """Whether a destination is served: yes, or not until an operator enables it."""

    ACTIVE = "active"
    DISABLED = "disabled"
