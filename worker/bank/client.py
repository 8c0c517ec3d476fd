"""One HTTP client per partner: what is sent, and what is taken for an answer."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from json import JSONEncoder
from ssl import SSLContext
from typing import Any

import httpx

from worker import __version__
from worker.bank.faults import bank_error, translate
from worker.bank.identity import has_tls_files, needs_tls, partner_context
from worker.bank.redaction import without_secret
from worker.domain.kplus import Answer, CancelRequest, InquiryRequest, RequestDt
from worker.domain.partners import Partner
from worker.domain.retry_after import read_retry_after
from worker.net.deadline import Deadline
from worker.net.tls import context_without_authorities, default_context
from worker.net.transport import (
    UnsupportedLibrary,
    bounded_transport,
    reject_stray_answer,
    silence_httpcore,
    utc_now,
)

USER_AGENT = f"kplus-cancel/{__version__}"
MAX_BODY_BYTES = 256 * 1024
_STEPS = ("connect", "read", "write", "pool")
_written = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Bank:
    """
    The bank as one process sees it: one HTTP client per partner, made at first use.

    Threads may share it; a fork may not: make it in the process that uses it. `deadline`
    bounds a whole call, name resolution alone excepted. A partner whose settings have
    changed gets a new client; the old one finishes the calls it has.
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
        self._lines: dict[str, _Line] = {}
        self._default_context: SSLContext | None = None
        self._closed = False
        silence_httpcore()
        # An unfit httpx is told at start-up, not by the first job.
        _transport(context_without_authorities(), connections=1).close()

    def cancel(
        self, partner: Partner, request: CancelRequest, *, within: timedelta | None = None
    ) -> Answer:
        """
        Send one cancel request and return the answer, whatever its HTTP status.

        `within` shortens the deadline. Raises a `BankError` whose class says whether
        anything was sent. Nothing is sent twice.
        """
        return self._ask(partner, request, partner.bank_url, within=within)

    def inquire(
        self, partner: Partner, request: InquiryRequest, *, within: timedelta | None = None
    ) -> Answer:
        """
        Ask what became of a token; all else as for `cancel`.

        The partner must have an inquiry URL.
        """
        if partner.inquiry_url is None:
            raise bank_error("bad_url", "the partner has no inquiry URL")
        return self._ask(partner, request, partner.inquiry_url, within=within)

    def _ask(
        self, partner: Partner, request: CancelRequest, url: str, *, within: timedelta | None
    ) -> Answer:
        if request.partner_id != partner.partner_id:
            raise bank_error("wrong_partner")
        span = self._deadline if within is None else min(within, self._deadline)
        with Deadline(span.total_seconds()) as deadline:
            if deadline.left() <= 0:
                raise bank_error("no_time_left")
            message = self._message(partner, request, url, seconds=deadline.left())
            inquiry = isinstance(request, InquiryRequest)
            answer = self._exchange(partner, message, deadline, inquiry=inquiry)
        return without_secret(answer, partner.secret.get_secret_value(), sent=request)

    def close(self) -> None:
        """Take no more calls; those in flight still end as they would have."""
        with self._lock:
            self._closed = True
            for line in self._lines.values():
                line.retire()
            self._lines.clear()

    def _message(
        self, partner: Partner, request: CancelRequest, address: str, *, seconds: float
    ) -> httpx.Request:
        secret = partner.secret.get_secret_value()
        url = _callable_url(address)
        fields = request.body(secret, at=self._clock(), request_dt=self._request_dt)
        try:
            content = _written(fields).encode()
            return httpx.Request(
                "POST",
                url,
                headers={
                    "Host": url.netloc.decode(),
                    **request.headers(secret),
                    "Accept-Encoding": "identity",
                    "User-Agent": USER_AGENT,
                    "Content-Length": str(len(content)),
                },
                # Given as it is: httpx would look for what it is, and copy the headers for it.
                stream=httpx.ByteStream(content),
                # The running deadline is what counts; these would bound each step alone.
                extensions={"timeout": dict.fromkeys(_STEPS, seconds)},
            )
        except (TypeError, ValueError) as error:  # ValueError: text that cannot be encoded
            raise bank_error("bad_request", type(error).__name__) from None

    def _exchange(
        self, partner: Partner, message: httpx.Request, deadline: Deadline, *, inquiry: bool
    ) -> Answer:
        line = self._take(partner)
        try:
            with line.place(deadline):
                return self._converse(line.transport, message, inquiry=inquiry)
        except Exception as error:  # noqa: BLE001 - whatever it is, it may have been sent
            lost = translate(error, secret=partner.secret.get_secret_value())
        finally:
            self._give_back(line)
        # Raised outside of the handler, hence without a cause: the libraries' errors quote
        # what came over the wire, and a bank may echo the secret.
        raise lost

    def _converse(
        self, transport: httpx.BaseTransport, message: httpx.Request, *, inquiry: bool
    ) -> Answer:
        """
        Send a message and read its answer, at the level of the transport.

        httpx's client above would add a mind of its own: it keeps cookies, parses the
        redirects that it does not follow, and logs whole URLs.
        """
        with closing(transport.handle_request(message)) as response:
            reject_stray_answer(response)
            coding = response.headers.get("content-encoding", "").strip().lower()
            if coding not in ("", "identity"):
                return self._flawed(response, "the body is compressed, against our request")
            body = bytearray()
            arriving: Any = response.stream  # its type says that it may be an asynchronous one
            for chunk in arriving:
                body += chunk
                if len(body) > self._most_bytes:
                    too_long = f"the body is longer than {self._most_bytes} bytes"
                    return self._flawed(response, too_long)
            return Answer.read(
                http_status=response.status_code,
                headers=response.headers,
                body=bytes(body),
                at=self._clock(),
                inquiry=inquiry,
            )

    def _flawed(self, response: httpx.Response, flaw: str) -> Answer:
        """Return the HTTP status as evidence, without the body."""
        waits = read_retry_after(response.headers.get("retry-after"), at=self._clock())
        return Answer(response.status_code, flaw=flaw, retry_after=waits)

    def _take(self, partner: Partner) -> "_Line":
        with self._lock:
            if self._closed:
                raise bank_error("closed")
            line = self._lines.get(partner.partner_id)
            if line is None or line.partner != partner:
                # Made first: a partner that cannot be called leaves the old line standing.
                transport = self._open_transport(partner)
                fresh = _Line(partner, transport, places=self._connections)
                if line is not None:
                    line.retire()
                self._lines[partner.partner_id] = line = fresh
            line.calls += 1
            return line

    def _give_back(self, line: "_Line") -> None:
        with self._lock:
            line.calls -= 1
            line.close_if_done()

    def _bounded_transport(self, partner: Partner) -> httpx.BaseTransport:
        if not needs_tls(partner):
            context = context_without_authorities()
        elif has_tls_files(partner):
            context = partner_context(partner)
        else:  # shared, since making one takes 30 ms
            context = self._default_context = self._default_context or default_context()
        return _transport(context, connections=self._connections)


class _Line:
    """One partner's client and the number of its calls; the bank's lock guards both."""

    def __init__(self, partner: Partner, transport: httpx.BaseTransport, *, places: int) -> None:
        self.partner = partner
        self.transport = transport
        self.calls = 0
        self._retired = False
        self._places = threading.BoundedSemaphore(places)

    @contextmanager
    def place(self, deadline: Deadline) -> Iterator[None]:
        """
        Hold one of the connections, waiting for it until the deadline at most.

        The pool behind could wait as well, but begins its timeout anew whenever another
        thread has been faster.
        """
        if not self._places.acquire(timeout=max(0.0, deadline.left())):
            raise httpx.PoolTimeout("no connection became free")
        try:
            yield
        finally:
            self._places.release()

    def retire(self) -> None:
        """Close the client: now, or with the last of its calls."""
        self._retired = True
        self.close_if_done()

    def close_if_done(self) -> None:
        """Close a retired client that has no call left."""
        if self._retired and self.calls == 0:
            self.transport.close()


def _transport(context: SSLContext, *, connections: int) -> httpx.BaseTransport:
    try:
        return bounded_transport(context, connections=connections)
    except UnsupportedLibrary as error:
        raise bank_error("http_library", str(error)) from error


@lru_cache(maxsize=256)
def _callable_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
        named = bool(url.host)  # decoding the name is where its faults show
    except (httpx.InvalidURL, ValueError) as error:
        raise bank_error("bad_url", str(error)) from None
    if not named or (url.port is not None and url.port not in range(1, 65536)):
        # The resolver would take a port modulo 65536 and call somebody else.
        raise bank_error("bad_url", "it has no host, or a port that does not exist")
    if url.userinfo:
        raise bank_error("bad_url", "it carries credentials, which would not be sent")
    return url
