"""What leaves for the bank, byte by byte, and what is taken for an answer."""

import re
from datetime import timedelta

import pytest

from tests.bank.conftest import NOON, SECRET, MakeBank, MakePeer, partner_at
from tests.bank.peer import CANCELLED, REQUEST, answering, http
from worker import __version__
from worker.bank import Bank
from worker.domain.kplus import CancelRequest, InquiryRequest, RequestDt
from worker.errors import CallMisconfigured

BODY = (
    '{"partnerTxnUid":"RGH001030118001","partnerId":"KP2XXX000033159",'
    f'"partnerSecret":"{SECRET}","requestDt":1519630776,'
    '"tokenId":"KP2XXX00003315900BBC3C374D644DE9F2BA5CDC189C27B","reference1":"order-1"}'
)


def test_the_request_is_the_bank_page_byte_by_byte(bank: Bank, serve: MakePeer) -> None:
    peer = serve(answering(http()))
    bank.cancel(partner_at(peer.url), REQUEST)
    assert peer.requests == [
        "\r\n".join(
            [
                "POST /v1/kplus/payment/cancel-token HTTP/1.1",
                f"Host: 127.0.0.1:{peer.port}",
                "content-type: application/json",
                "Partner-Id: KP2XXX000033159",
                f"Partner-Secret: {SECRET}",
                "Accept-Encoding: identity",
                f"User-Agent: kplus-cancel/{__version__}",
                f"Content-Length: {len(BODY)}",
                "",
                BODY,
            ]
        ).encode()
    ]


def test_a_text_that_is_not_ascii_travels_as_utf_8(bank: Bank, serve: MakePeer) -> None:
    peer = serve(answering(http()))
    request = CancelRequest("uid-1", REQUEST.partner_id, "token-1", "คืนเงิน 100 ฿")
    bank.cancel(partner_at(peer.url), request)
    assert '"reference1":"คืนเงิน 100 ฿"}'.encode() in peer.requests[0]


@pytest.mark.parametrize(
    ("form", "written"),
    [
        (RequestDt.UNIX, b'"requestDt":1519630776,'),
        (RequestDt.UNIX_MS, b'"requestDt":1519630776000,'),
        (RequestDt.ISO8601, b'"requestDt":"2018-02-26T14:39:36.000+07:00",'),
    ],
)
def test_the_time_of_the_request_is_written_as_configured(
    make_bank: MakeBank, serve: MakePeer, form: RequestDt, written: bytes
) -> None:
    peer = serve(answering(http()))
    make_bank(request_dt=form).cancel(partner_at(peer.url), REQUEST)
    assert written in peer.requests[0]


def test_an_answer_arrives_with_its_status_and_words(bank: Bank, serve: MakePeer) -> None:
    answer = bank.cancel(partner_at(serve(answering(http())).url), REQUEST)
    assert answer.http_status == 200
    assert answer.envelope is not None
    assert answer.envelope.status_code == "00"
    assert answer.envelope.tokens[0].status == ("CANCELLED",)


def test_the_query_of_the_url_is_kept(bank: Bank, serve: MakePeer) -> None:
    peer = serve(answering(http()))
    bank.cancel(partner_at(f"{peer.url}?env-id=SIT"), REQUEST)
    assert peer.requests[0].startswith(b"POST /v1/kplus/payment/cancel-token?env-id=SIT HTTP/1.1")


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "502 Bad Gateway"])
def test_an_error_page_is_an_answer_with_its_status(
    bank: Bank, serve: MakePeer, status: str
) -> None:
    page = http(b"<html>go away</html>", status=status, headers=["Content-Type: text/html"])
    answer = bank.cancel(partner_at(serve(answering(page)).url), REQUEST)
    assert (answer.http_status, answer.envelope) == (int(status[:3]), None)
    assert answer.flaw == "the body is not JSON"


def test_an_unknown_status_is_an_answer(bank: Bank, serve: MakePeer) -> None:
    answer = bank.cancel(partner_at(serve(answering(http(status="799 Why"))).url), REQUEST)
    assert answer.http_status == 799


@pytest.mark.parametrize("location", ["/elsewhere", "http://127.0.0.1:1/", "http://[", "x" * 9000])
def test_a_redirect_is_an_answer_and_is_not_followed(
    bank: Bank, serve: MakePeer, location: str
) -> None:
    """Followed, a 307 would hand the credentials to whoever it names."""
    page = http(b"", status="307 Temporary Redirect", headers=[f"Location: {location}"])
    peer = serve(answering(page, http()))
    answer = bank.cancel(partner_at(peer.url), REQUEST)
    assert (answer.http_status, bool(answer.location)) == (307, True)
    assert len(peer.requests) == 1


def test_the_servers_advice_to_wait_is_kept(bank: Bank, serve: MakePeer) -> None:
    busy = http(b"", status="503 Service Unavailable", headers=["Retry-After: 7"])
    answer = bank.cancel(partner_at(serve(answering(busy)).url), REQUEST)
    assert answer.retry_after == timedelta(seconds=7)


def test_an_advice_given_as_a_date_is_measured_from_our_clock(bank: Bank, serve: MakePeer) -> None:
    at = (NOON + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    busy = http(b"", status="503 Service Unavailable", headers=[f"Retry-After: {at}"])
    answer = bank.cancel(partner_at(serve(answering(busy)).url), REQUEST)
    assert answer.retry_after == timedelta(seconds=90)


def test_of_several_advices_the_longest_counts(bank: Bank, serve: MakePeer) -> None:
    """A gateway adds its own to the bank's."""
    at = (NOON + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    both = [f"Retry-After: {value}" for value in ("30", at, "soon", "7")]
    busy = http(b"", status="503 Service Unavailable", headers=both)
    answer = bank.cancel(partner_at(serve(answering(busy)).url), REQUEST)
    assert answer.retry_after == timedelta(seconds=90)


def test_interim_answers_are_passed_over(bank: Bank, serve: MakePeer) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * 3
    answer = bank.cancel(partner_at(serve(answering(early + http())).url), REQUEST)
    assert answer.http_status == 200


def test_a_chunked_answer_and_one_ended_by_hanging_up_are_whole(
    bank: Bank, serve: MakePeer
) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
        len(CANCELLED),
        CANCELLED,
    )
    peer = serve(answering(chunked))
    assert bank.cancel(partner_at(peer.url), REQUEST).envelope is not None
    old = serve(lambda talk: (talk.hear(), talk.say(b"HTTP/1.0 200 OK\r\n\r\n" + CANCELLED))[1])
    assert bank.cancel(partner_at(old.url), REQUEST).envelope is not None


def test_cookies_are_not_sent_back(bank: Bank, serve: MakePeer) -> None:
    peer = serve(answering(http(headers=["Set-Cookie: route=1; Path=/"])))
    for _ in range(2):
        bank.cancel(partner_at(peer.url), REQUEST)
    assert not [request for request in peer.requests if re.search(rb"(?i)^cookie:", request)]
    assert peer.requests[0] == peer.requests[1]


def test_a_proxy_of_the_environment_is_not_used(
    make_bank: MakeBank, serve: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(answering(http(b"", status="407 Proxy Authentication Required")))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    peer = serve(answering(http()))
    assert make_bank().cancel(partner_at(peer.url), REQUEST).http_status == 200
    assert proxy.requests == []


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://127.0.0.1:99999999/cancel", "bad_url"),
        ("http://[::1/cancel", "bad_url"),
        ("http://xn--a/cancel", "bad_url"),
    ],
)
def test_a_url_that_cannot_be_called_is_our_fault(bank: Bank, url: str, word: str) -> None:
    with pytest.raises(CallMisconfigured) as told:
        bank.cancel(partner_at(url), REQUEST)
    assert told.value.fault == word


def test_a_url_with_a_user_is_not_called_even_where_no_setting_has_refused_it(bank: Bank) -> None:
    partner = partner_at("http://127.0.0.1/").model_copy(
        update={"bank_url": "http://user:word@127.0.0.1/cancel"}
    )
    with pytest.raises(CallMisconfigured) as told:
        bank.cancel(partner, REQUEST)
    assert told.value.fault == "bad_url"


def test_headers_of_the_partner_travel_beside_the_banks_own(bank: Bank, serve: MakePeer) -> None:
    """Behind the bank's own, which stay as they are; an inquiry has them too."""
    peer = serve(answering(http()))
    inquiry = InquiryRequest("INQ1", REQUEST.partner_id, REQUEST.token_id, "")
    headers = {"x-api-key": "canary-key", "env-id": "KPLUS"}
    partner = partner_at(peer.url, inquiry_url=peer.url, headers=headers)
    bank.cancel(partner, REQUEST)
    bank.inquire(partner, inquiry)
    for request in peer.requests:
        head = request.partition(b"\r\n\r\n")[0].decode().splitlines()[1:]
        assert [line.partition(":")[0] for line in head] == [
            *("Host", "content-type", "Partner-Id", "Partner-Secret"),
            *("x-api-key", "env-id"),
            *("Accept-Encoding", "User-Agent", "Content-Length"),
        ]
        assert {"x-api-key: canary-key", "env-id: KPLUS"} <= set(head)


def test_changed_headers_are_sent_with_the_next_call(bank: Bank, serve: MakePeer) -> None:
    peer = serve(answering(http()))
    for key in ("one", "two"):
        bank.cancel(partner_at(peer.url, headers={"x-api-key": key}), REQUEST)
    assert b"x-api-key: one\r\n" in peer.requests[0]
    assert b"x-api-key: two\r\n" in peer.requests[1]


@pytest.mark.parametrize(
    "request_",
    [
        CancelRequest("uid", REQUEST.partner_id, "token", "half a pair \ud800"),
        CancelRequest("uid", "พาร์ทเนอร์", "token", "reference"),
        CancelRequest("uid", "two\r\nlines: 1", "token", "reference"),
    ],
)
def test_a_request_that_cannot_be_written_is_our_fault(
    bank: Bank, serve: MakePeer, request_: CancelRequest
) -> None:
    peer = serve(answering(http()))
    partner = partner_at(peer.url).model_copy(update={"partner_id": request_.partner_id})
    with pytest.raises(CallMisconfigured) as told:
        bank.cancel(partner, request_)
    assert told.value.fault == "bad_request"
    assert peer.requests == []


def test_a_request_never_travels_with_another_partners_secret(bank: Bank, serve: MakePeer) -> None:
    peer = serve(answering(http()))
    with pytest.raises(CallMisconfigured) as told:
        bank.cancel(partner_at(peer.url, partner_id="SOMEBODYELSE"), REQUEST)
    assert told.value.fault == "wrong_partner"
    assert peer.connections == 0
