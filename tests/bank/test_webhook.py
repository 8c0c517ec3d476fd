"""The webhook on the wire: whom it trusts, what it takes for an answer, and when it gives up."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.bank.conftest import NOON, MakePeer
from tests.bank.peer import Conversation, Peer, answering, hearing_then, http, saying
from tests.bank.tls_files import AUTHORITY, server_context
from tests.servers.deadlines import counted
from tests.servers.egress import MakeEgress
from tests.servers.receivers import SECRET
from tests.servers.waiting import LIMIT
from worker.config.destinations import Webhook
from worker.domain.destinations import Destination
from worker.net.proxy import Proxy
from worker.outbox.relay import NO_ANSWER, Reply
from worker.outbox.slots import MOST_AT_ONCE
from worker.outbox.webhook import WebhookSender
from worker.store import Delivery

BODY = '{"id":"evt_1","type":"kplus.cancellation.finished"}'


def parcel(number: int = 1) -> Delivery:
    where = Destination.WEBHOOK
    return Delivery(f"evt_{number}", where, "U1", BODY, 1, "L", since=NOON, at=NOON)


MakePoster = Callable[..., WebhookSender]


@pytest.fixture
def poster() -> Iterator[MakePoster]:
    with ExitStack() as stack:

        def make(
            peer: Peer,
            *,
            ca_bundle: Path | None = None,
            deadline: float = LIMIT,
            proxy: Proxy | None = None,
        ) -> WebhookSender:
            webhook = Webhook(peer.url, (SECRET,), ca_bundle, timedelta(seconds=deadline), proxy)
            return stack.enter_context(closing(WebhookSender(webhook, clock=lambda: NOON)))

        yield make


def replies(ours: WebhookSender, *parcels: Delivery) -> list[tuple[Delivery, Reply]]:
    """Post all of them at once; return the results in the order in which they were known."""
    results: queue.SimpleQueue[tuple[Delivery, Reply]] = queue.SimpleQueue()
    ours.start(parcels, lambda *result: results.put(result))
    return [results.get(timeout=LIMIT) for _ in parcels]


def reply(ours: WebhookSender) -> Reply:
    ((told, answer),) = replies(ours, parcel())
    assert told == parcel()
    return answer


def test_a_private_authority_is_trusted_where_it_is_named(
    serve: MakePeer, poster: MakePoster
) -> None:
    peer = serve(answering(http()), context=server_context())
    assert reply(poster(peer, ca_bundle=AUTHORITY)) == Reply()


@pytest.mark.parametrize(
    ("certificate", "ca_bundle"),
    [("server.pem", None), ("expired.pem", AUTHORITY), ("other_host.pem", AUTHORITY)],
)
def test_a_receiver_that_cannot_prove_itself_is_sent_nothing(
    serve: MakePeer, poster: MakePoster, certificate: str, ca_bundle: Path | None
) -> None:
    peer = serve(answering(http()), context=server_context(certificate))
    assert reply(poster(peer, ca_bundle=ca_bundle)) == Reply("tls_untrusted")
    assert peer.requests == []


@pytest.mark.parametrize("tls", [False, True], ids=["http proxy", "https proxy"])
def test_events_go_through_a_real_proxy_that_sees_no_more_than_connect(
    serve: MakePeer, poster: MakePoster, egress: MakeEgress, *, tls: bool
) -> None:
    proxy = egress(tls=tls)
    peer = serve(answering(http()), context=server_context())
    ours = poster(peer, ca_bundle=AUTHORITY, proxy=Proxy.read(proxy.url, ca_bundle=AUTHORITY))
    assert [reply(ours) for _ in range(3)] == [Reply()] * 3
    proxy.stop()
    assert reply(ours) == Reply("proxy_failed")
    assert len(peer.requests) == 3
    assert [line.split()[0] for line in proxy.requests()] == ["CONNECT"]


def test_an_authority_that_cannot_be_read_is_a_fault_as_any_other(
    serve: MakePeer, poster: MakePoster, tmp_path: Path
) -> None:
    peer = serve(answering(http()), context=server_context())
    assert reply(poster(peer, ca_bundle=tmp_path / "none.pem")) == Reply("bad_tls_files")


def test_the_request_is_what_the_specification_asks_for(
    serve: MakePeer, poster: MakePoster
) -> None:
    peer = serve(answering(http()))
    reply(poster(peer))
    (request,) = peer.requests
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode().lower().splitlines()
    assert body == BODY.encode()
    assert lines[0].startswith("post /")
    assert "webhook-id: evt_1" in lines
    assert f"webhook-timestamp: {int(NOON.timestamp())}" in lines
    assert any(line.startswith("webhook-signature: v1,") for line in lines)
    assert SECRET.encode() not in request


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http(status="200 X"), Reply()),
        (http(b"", status="204 X", headers=[]), Reply()),
        (http(status="500 X"), Reply("http_500")),
        (http(status="302 X", headers=["Location: http://127.0.0.1:1/"]), Reply("http_302")),
        (http(status="410 X"), Reply("http_410", gone=True)),
        (
            http(status="503 X", headers=["Retry-After: 120"]),
            Reply("http_503", advice=timedelta(seconds=120)),
        ),
        (
            http(status="429 X", headers=["Retry-After: Mon, 26 Feb 2018 07:44:36 GMT"]),
            Reply("http_429", advice=timedelta(seconds=300)),
        ),
        (http(status="429 X", headers=["Retry-After: soon"]), Reply("http_429")),
        (http(status="429 X", headers=["Retry-After: 86401"]), Reply("http_429")),
        (b"what?\r\n\r\n", Reply("protocol_error")),
        (b"", Reply("connection_dropped")),
    ],
)
def test_2xx_is_delivered_and_all_else_is_a_fault(
    serve: MakePeer, poster: MakePoster, answer: bytes, expected: Reply
) -> None:
    peer = serve(hearing_then(saying(answer)))
    assert reply(poster(peer)) == expected
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    "body",
    [b"x" * 1_000_000, b"x"],
    ids=["far more than is read", "less than was announced"],
)
def test_whatever_follows_a_status_changes_nothing(
    serve: MakePeer, poster: MakePoster, body: bytes
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    assert reply(poster(serve(hearing_then(saying(head + body))))) == Reply()


def test_an_answer_that_was_there_before_the_question_is_none(
    serve: MakePeer, poster: MakePoster
) -> None:
    """Two answers to one request: the second must not stand for the next event's."""
    peer = serve(answering(http() + http()))
    ours = poster(peer)
    assert reply(ours) == Reply()
    assert reply(ours) == Reply("stray_answer") or len(peer.requests) == 2


def test_a_receiver_that_drips_is_left_at_the_deadline(serve: MakePeer, poster: MakePoster) -> None:
    def drip(talk: Conversation) -> None:
        talk.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Slow: 1\r\n" * 10_000)

    with counted(LIMIT / 50):
        assert reply(poster(serve(hearing_then(drip)), deadline=LIMIT)) == Reply("deadline")


def test_events_go_side_by_side_and_never_more_than_there_are_slots(
    serve: MakePeer, poster: MakePoster
) -> None:
    """A thread that hangs beyond the deadline keeps its place."""
    free = threading.Event()
    peer = serve(hearing_then(lambda _talk: free.wait(LIMIT)))
    ours = poster(peer)
    results: queue.SimpleQueue[tuple[Delivery, Reply]] = queue.SimpleQueue()
    parcels = [parcel(number) for number in range(MOST_AT_ONCE + 1)]
    ours.start(parcels, lambda *result: results.put(result))
    assert results.get(timeout=LIMIT) == (parcels[-1], Reply(NO_ANSWER))
    free.set()
    assert len([results.get(timeout=LIMIT) for _ in range(MOST_AT_ONCE)]) == MOST_AT_ONCE
    assert len(peer.requests) <= MOST_AT_ONCE
