"""One HTTP client per partner: what is sent, and what counts as an answer."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from json import JSONEncoder
from ssl import SSLContext

import httpx

from worker.bank.faults import bank_error, translate
from worker.bank.identity import has_tls_files, needs_tls, partner_context
from worker.bank.redaction import cleaner
from worker.domain.answer import Answer
from worker.domain.kplus import CancelRequest, InquiryRequest, RequestDt
from worker.domain.partners import Partner
from worker.domain.validation import split_url
from worker.errors import BankError
from worker.net.deadline import Deadline
from worker.net.proxy import Proxy
from worker.net.tls import TlsFilesUnusable, context_without_authorities, default_context
from worker.net.transport import (
    UnsupportedLibrary,
    bounded_transport,
    exchange,
    received,
    silence_httpcore,
    utc_now,
)
from worker.telemetry.about import USER_AGENT
from worker.telemetry.redaction import protect

MAX_BODY_BYTES = 256 * 1024
_STEPS = ("connect", "read", "write", "pool")
_encode = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Bank:
    """
    The bank: one HTTP client per partner, made at its first use.

    Thread-safe, but not fork-safe: make it in the process that uses it. `deadline` limits a
    whole call, except name resolution. A partner whose settings have changed gets a new
    client; the old one finishes its calls.
    """

    def __init__(  # noqa: PLR0913 - settings, each by its name
        self,
        *,
        deadline: timedelta,
        request_dt: RequestDt,
        connections: int,
        clock: Callable[[], datetime] = utc_now,
        most_bytes: int = MAX_BODY_BYTES,
        open_transport: Callable[[Partner], httpx.BaseTransport] | None = None,
    ) -> None:
        self._deadline = deadline
        self._request_dt = request_dt
        self._connections = connections
        self._clock = clock
        self._most_bytes = most_bytes
        self._open_transport = open_transport or self._bounded_transport
        self._lock = threading.Lock()
        self._clients: dict[str, _PartnerClient] = {}
        self._default_context: SSLContext | None = None
        self._closed = False
        silence_httpcore()
        # An unsupported httpx fails the start, not the first job.
        _transport(context_without_authorities(), connections=1).close()

    def cancel(
        self,
        partner: Partner,
        request: CancelRequest,
        *,
        timeout: timedelta | None = None,
        leaving: Callable[[], None] | None = None,
    ) -> Answer:
        """
        Send one cancel request and return the answer, whatever its HTTP status.

        `timeout` shortens the deadline. `leaving` is called before a connection is made, and
        again before the first byte is sent: it may wait, or raise a `BankError`. Raises a
        `BankError` whose class says whether anything was sent. Nothing is sent twice.
        """
        return self._call(partner, request, partner.bank_url, timeout=timeout, leaving=leaving)

    def inquire(
        self,
        partner: Partner,
        request: InquiryRequest,
        *,
        timeout: timedelta | None = None,
        leaving: Callable[[], None] | None = None,
    ) -> Answer:
        """
        Ask for the status of a token; otherwise as `cancel`.

        The partner must have an inquiry URL.
        """
        if partner.inquiry_url is None:
            raise bank_error("bad_url", "the partner has no inquiry URL")
        return self._call(partner, request, partner.inquiry_url, timeout=timeout, leaving=leaving)

    def _call(
        self,
        partner: Partner,
        request: CancelRequest,
        url: str,
        *,
        timeout: timedelta | None,
        leaving: Callable[[], None] | None,
    ) -> Answer:
        if request.partner_id != partner.partner_id:
            raise bank_error("wrong_partner")
        allowed = self._deadline if timeout is None else min(timeout, self._deadline)
        with Deadline(allowed.total_seconds(), leaving=leaving) as deadline:
            if leaving is not None:
                leaving()
            if deadline.left() <= 0:
                raise bank_error("no_time_left")
            http_request = self._http_request(partner, request, url, seconds=deadline.left())
            return self._exchange(partner, http_request, deadline, sent=request)

    def close(self) -> None:
        """Refuse new calls; calls in flight still finish."""
        with self._lock:
            self._closed = True
            for client in self._clients.values():
                client.retire()
            self._clients.clear()

    def _http_request(
        self, partner: Partner, request: CancelRequest, address: str, *, seconds: float
    ) -> httpx.Request:
        secret = partner.secret.get_secret_value()
        url = _callable_url(address)
        fields = request.body(secret, at=self._clock(), request_dt=self._request_dt)
        try:
            content = _encode(fields).encode()
            return httpx.Request(
                "POST",
                url,
                headers={
                    "Host": url.netloc.decode(),
                    **request.headers(secret),
                    **partner.plain_headers(),
                    "Accept-Encoding": "identity",
                    "User-Agent": USER_AGENT,
                    "Content-Length": str(len(content)),
                },
                # A stream: with `content` httpx would detect its type and copy the headers.
                stream=httpx.ByteStream(content),
                # The running deadline limits the call; these would limit each step alone.
                extensions={"timeout": dict.fromkeys(_STEPS, seconds)},
            )
        except (TypeError, ValueError) as error:  # ValueError: text that cannot be encoded
            raise bank_error("bad_request", type(error).__name__) from None

    def _exchange(
        self,
        partner: Partner,
        http_request: httpx.Request,
        deadline: Deadline,
        *,
        sent: CancelRequest,
    ) -> Answer:
        client = self._acquire(partner)
        try:
            with client.connection(deadline):
                return self._send(client.transport, http_request, sent=sent)
        except BankError as error:  # from `leaving`: nothing was sent
            failure = error
        except Exception as error:  # noqa: BLE001 - after any error the request may have been sent
            failure = translate(error)
        finally:
            self._release(client)
        # Raised outside the handler, so without a cause: errors of the libraries quote what was
        # received, and a bank may echo the secret.
        raise failure

    def _send(
        self, transport: httpx.BaseTransport, http_request: httpx.Request, *, sent: CancelRequest
    ) -> Answer:
        """
        Send a request and read its answer, at the level of the transport.

        `httpx.Client` would do more than we want: it keeps cookies, parses redirects that it
        does not follow, and logs whole URLs.
        """
        with exchange(transport, http_request) as response:
            coding = response.headers.get("content-encoding", "").strip().lower()
            if coding not in ("", "identity"):
                return self._flawed(response, "the body is compressed, against our request", sent)
            body = bytearray()
            for chunk in received(response):
                body += chunk
                if len(body) > self._most_bytes:
                    too_long = f"the body is longer than {self._most_bytes} bytes"
                    return self._flawed(response, too_long, sent)
            return Answer.read(
                http_status=response.status_code,
                headers=response.headers,
                body=bytes(body),
                at=self._clock(),
                inquiry=isinstance(sent, InquiryRequest),
                clean=cleaner(sent),
            )

    def _flawed(self, response: httpx.Response, flaw: str, sent: CancelRequest) -> Answer:
        """Return the HTTP status as evidence, without the body."""
        return Answer.read_head(
            response.status_code,
            response.headers,
            at=self._clock(),
            flaw=flaw,
            clean=cleaner(sent),
        )

    def _acquire(self, partner: Partner) -> "_PartnerClient":
        with self._lock:
            if self._closed:
                raise bank_error("closed")
            client = self._clients.get(partner.partner_id)
            if client is None or client.partner != partner:
                protect([partner.secret.get_secret_value()])
                # Made first: if that fails, the old client stays.
                transport = self._open_transport(partner)
                new = _PartnerClient(partner, transport, connections=self._connections)
                if client is not None:
                    client.retire()
                self._clients[partner.partner_id] = client = new
            client.calls += 1
            return client

    def _release(self, client: "_PartnerClient") -> None:
        with self._lock:
            client.calls -= 1
            client.close_if_done()

    def _bounded_transport(self, partner: Partner) -> httpx.BaseTransport:
        if not needs_tls(partner):
            context = context_without_authorities()
        elif has_tls_files(partner):
            context = partner_context(partner)
        else:  # shared, since making one takes 30 ms
            context = self._default_context = self._default_context or default_context()
        return _transport(context, connections=self._connections, proxy=partner.proxy)


WAITED = 0.5
"""The part of its time that a call waits for a free connection at most."""


class _PartnerClient:
    """One partner's client and the number of its calls; the lock of `Bank` guards both."""

    def __init__(
        self, partner: Partner, transport: httpx.BaseTransport, *, connections: int
    ) -> None:
        self.partner = partner
        self.transport = transport
        self.calls = 0
        self._retired = False
        self._free_connections = threading.BoundedSemaphore(connections)

    @contextmanager
    def connection(self, deadline: Deadline) -> Iterator[None]:
        """
        Reserve one of the connections; wait for it for a part of what is left of the deadline.

        A call that leaves late would be given up while the bank still works on it: that is doubt.
        The pool of httpcore can wait too, but it restarts its timeout whenever another thread
        takes the connection first.
        """
        if not self._free_connections.acquire(timeout=max(0.0, WAITED * deadline.left())):
            raise httpx.PoolTimeout("no connection became free")
        try:
            yield
        finally:
            self._free_connections.release()

    def retire(self) -> None:
        """Close the client now, or after the last of its calls."""
        self._retired = True
        self.close_if_done()

    def close_if_done(self) -> None:
        """Close a retired client that has no calls left."""
        if self._retired and self.calls == 0:
            self.transport.close()


def _transport(
    context: SSLContext, *, connections: int, proxy: Proxy | None = None
) -> httpx.BaseTransport:
    try:
        return bounded_transport(context, connections=connections, proxy=proxy)
    except UnsupportedLibrary as error:
        raise bank_error("http_library", str(error)) from error
    except TlsFilesUnusable as error:
        raise bank_error("bad_tls_files", str(error)) from error


@lru_cache(maxsize=256)
def _callable_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
        url.host  # noqa: B018 - decodes the name, which may fail
    except (httpx.InvalidURL, ValueError) as error:
        raise bank_error("bad_url", str(error)) from None
    if split_url(text) is None:
        # The resolver would take a port modulo 65536 and connect to another one.
        raise bank_error("bad_url", "it has no host, or a port that does not exist")
    if url.userinfo:
        raise bank_error("bad_url", "it carries credentials, which would not be sent")
    return url
