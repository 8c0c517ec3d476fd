"""
The transport for RabbitMQ: no message is unpacked, and none ends the connection.

It uses parts of amqp that are not public: tests/e2e/test_sealed_messages.py fails if they change.
"""

from collections.abc import Callable
from typing import Any, Final

from amqp.basic_message import Message as Content
from amqp.method_framing import frame_handler
from kombu.transport import pyamqp

from worker.broker.sealed import UNREADABLE, SealedMessage
from worker.telemetry.log import get_logger

log = get_logger(__name__)

Frame = tuple[int, int, bytes]

HEADER: Final = 2
"""The type of the frame that holds a message's properties and headers."""
BEFORE_PROPERTIES: Final = 12
"""Bytes of that frame before the properties: the class of the method, and the body's size."""


def readable_frames(connection: Any, callback: Any) -> Callable[[Frame], Any]:
    """
    Return what reads frames. Headers that it cannot read are replaced by the reason.

    Measured with amqp 5.4: a timestamp in milliseconds (a year that Python does not know), or
    headers nested some hundred levels deep, raise an error that ends the worker. RabbitMQ then
    delivers the message to the next one.
    """
    read = frame_handler(connection, callback)

    def on_frame(frame: Frame) -> Any:
        if frame[0] != HEADER:
            return read(frame)
        try:
            return read(frame)
        except connection.connection_errors:
            raise
        except Exception as error:  # noqa: BLE001 -- whatever it is, the message must not be lost
            log.warning("headers_not_readable", error=type(error).__name__)
            return read((*frame[:2], frame[2][:BEFORE_PROPERTIES] + _reason(error)))

    return on_frame


def _reason(error: Exception) -> bytes:
    headers = {"reason": "bad_headers", "detail": type(error).__name__}
    content: Any = Content(
        content_type=UNREADABLE, content_encoding="binary", application_headers=headers
    )
    return bytes(content._serialize_properties())  # noqa: SLF001 -- amqp has no other way


class Message(pyamqp.Message, SealedMessage):
    """A message of RabbitMQ."""


class Channel(pyamqp.Channel):
    """A channel to RabbitMQ."""

    UNREADABLE = UNREADABLE
    Message = Message


class Connection(pyamqp.Connection):
    """A connection to RabbitMQ."""

    Channel = Channel

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"frame_handler": readable_frames} | options)


class Transport(pyamqp.Transport):
    """`amqp://`."""

    Connection = Connection


class SecureTransport(pyamqp.SSLTransport):
    """`amqps://`."""

    Connection = Connection
