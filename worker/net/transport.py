"""httpx's transport with one deadline per exchange; it refuses stray answers."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from ssl import SSLContext
from typing import cast

import httpcore
import httpx

from worker.net.backend import DeadlineBackend
from worker.net.connections import Connections
from worker.net.proxy import Proxy
from worker.net.stream import ANSWERING

# If the bank closes a connection just when we use it, the job ends in doubt; few servers
# close an idle connection sooner than this.
IDLE_SECONDS = 10.0


class StrayAnswer(Exception):
    """The answer was sent before our request, so it answers another one."""


class UnsupportedLibrary(Exception):
    """The installed httpx or httpcore does not let us limit calls by a deadline."""


def utc_now() -> datetime:
    """Return the present time, aware."""
    return datetime.now(UTC)


def bounded_transport(
    context: SSLContext, *, connections: int, proxy: Proxy | None = None
) -> httpx.HTTPTransport:
    """
    Return httpx's transport on a pool whose connections obey the running `Deadline`.

    httpx has no public API for it. Raises `UnsupportedLibrary` if httpx or httpcore has
    changed: without a deadline, one slow server could block every thread. Raises
    `TlsFilesUnusable` if the proxy's CA bundle cannot be used.
    """
    transport = httpx.HTTPTransport(verify=context, trust_env=False)
    if type(getattr(transport, "_pool", None)) is not httpcore.ConnectionPool:
        raise UnsupportedLibrary(f"httpx {httpx.__version__} is here, 0.28 is needed")
    transport._pool = Connections(  # noqa: SLF001 - see above
        ssl_context=context,
        most=connections,
        idle_seconds=IDLE_SECONDS,
        network_backend=DeadlineBackend(proxy),
    )
    return transport


@contextmanager
def exchange(transport: httpx.BaseTransport, request: httpx.Request) -> Iterator[httpx.Response]:
    """
    Send a request; yield its answer, whose body is still to be read, and close it at the end.

    Raises `StrayAnswer`, and the errors of httpx.
    """
    with closing(transport.handle_request(request)) as response:
        _reject_stray_answer(response)
        yield response


def received(response: httpx.Response) -> Iterable[bytes]:
    """Return the chunks of a body as they were sent, without decoding."""
    return cast("Iterable[bytes]", response.stream)  # its type allows for asynchronous streams


def _reject_stray_answer(response: httpx.Response) -> None:
    """
    Raise `StrayAnswer` if the answer was there before our request was sent.

    If a server sends more than one answer to a request, httpcore keeps the rest and would
    return it as the answer to our next request.
    """
    stream = response.extensions.get("network_stream")
    if stream is not None and not stream.get_extra_info(ANSWERING):
        raise StrayAnswer


def silence_httpcore() -> None:
    """Keep httpcore's debug lines out of all logs: they show the headers of answers."""
    for name in ("httpcore.connection", "httpcore.http11"):
        logging.getLogger(name).addFilter(_is_warning)


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING
