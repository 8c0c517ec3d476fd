"""httpx's transport, held to one deadline; and an answer that is none to our request."""

import logging
from datetime import UTC, datetime
from ssl import SSLContext

import httpcore
import httpx

from worker.net.deadline import ANSWERING, DeadlineBackend

# A connection that the bank closes just as we use it costs a doubt; few servers close
# an idle one sooner than this.
IDLE_SECONDS = 10.0


class StrayAnswer(Exception):
    """What came back was sent before our request, so it answers something else."""


class UnsupportedLibrary(Exception):
    """The installed httpx or httpcore is not one whose calls can be held to a deadline."""


def utc_now() -> datetime:
    """Return the present time, aware."""
    return datetime.now(UTC)


def bounded_transport(context: SSLContext, *, connections: int) -> httpx.HTTPTransport:
    """
    Return httpx's transport on a pool whose connections obey the running `Deadline`.

    httpx has no public door for it. Where httpx or httpcore has changed, nothing may be
    called at all (`UnsupportedLibrary`): one dripping server would hold every thread there is.
    """
    transport = httpx.HTTPTransport(verify=context, trust_env=False)
    if type(getattr(transport, "_pool", None)) is not httpcore.ConnectionPool:
        raise UnsupportedLibrary(f"httpx {httpx.__version__} is here, 0.28 is needed")
    transport._pool = httpcore.ConnectionPool(  # noqa: SLF001 - see above
        ssl_context=context,
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=IDLE_SECONDS,
        network_backend=DeadlineBackend(),
    )
    return transport


def reject_stray_answer(response: httpx.Response) -> None:
    """
    Raise where the answer lay in wait for our request.

    A server that says more than one answer to a request would have the rest of it taken
    for the answer to our next one: httpcore keeps what it has read ahead.
    """
    stream = response.extensions.get("network_stream")
    if stream is not None and not stream.get_extra_info(ANSWERING):
        raise StrayAnswer


def silence_httpcore() -> None:
    """Keep httpcore's debug lines out of every log: they show the headers of answers."""
    for name in ("httpcore.connection", "httpcore.http11"):
        logging.getLogger(name).addFilter(_is_warning)


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING
