"""The partner's secret goes to the bank and nowhere else; its key's password, nowhere at all."""

import logging
import traceback
from json import dumps
from pathlib import Path
from urllib.parse import quote

import pytest
from structlog.tracebacks import ExceptionDictTransformer

from tests.bank.conftest import NOON, MakeBank, MakePeer, partner_at
from tests.bank.peer import CANCELLED, REQUEST, Play, answering, hearing_then, http
from tests.bank.tls_files import HERE
from tests.servers.secret_forms import forms
from tests.unit.cases import FIRST, POLICY
from worker.bank import Bank
from worker.bank.identity import partner_context
from worker.bank.redaction import cleaner
from worker.config.partners_file import load_roster
from worker.domain.answer import Answer
from worker.domain.judgement import decide
from worker.domain.kplus import MAX_TEXT_LENGTH, CancelRequest, Envelope, read_envelope
from worker.errors import BankError
from worker.telemetry.redaction import protect, redact

CANARY = "canary/4f1d'9c\\\"zz-0815"


def everything_about(error: BaseException) -> str:
    """Return all that a log could show of an error, its hidden contexts included."""
    shown = "".join(traceback.format_exception(error)) + repr(error)
    behind = [other for other in (error.__cause__, error.__context__) if other is not None]
    return shown + "".join(everything_about(other) for other in behind)


def echoing(before: bytes) -> Play:
    """Send back what was heard, behind `before`: an answer that quotes the secret."""
    return hearing_then(lambda talk: talk.say(before + talk.peer.requests[-1] + b"\r\n\r\n"))


@pytest.mark.parametrize(
    "play",
    [
        echoing(b""),
        echoing(b"HTTP/1.1 200 OK\r\n"),
        echoing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        hearing_then(lambda talk: talk.say(f"{CANARY}\r\n\r\n".encode())),
        hearing_then(lambda talk: talk.say(f"HTTP/1.1 200 OK\r\n{CANARY}\r\n\r\n".encode())),
        hearing_then(lambda talk: None),
    ],
)
def test_no_fault_shows_the_secret(
    bank: Bank, serve: MakePeer, caplog: pytest.LogCaptureFixture, play: Play
) -> None:
    """h11 quotes the lines it cannot read, and they may be our own, sent back."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(BankError) as told:
        bank.cancel(partner_at(serve(play).url, secret=CANARY), REQUEST)
    for spelled in (CANARY, repr(CANARY)[1:-1], "canary", "0815"):
        assert spelled not in everything_about(told.value) + caplog.text


@pytest.mark.parametrize(
    "header",
    [
        f"Location: https://bank.example/{CANARY}",
        f"Location: https://bank.example/{quote(CANARY, safe='')}/x",
        f"Location: https://bank.example/{'x' * 100}{quote(CANARY)}",
        f"Location: https://user:{quote(CANARY, safe='')}@bank.example/?{quote(CANARY)}",
        f"Retry-After: {CANARY}",
        f"Retry-After: {'9' * 70}{CANARY}",
    ],
)
def test_no_header_that_is_kept_shows_the_secret(bank: Bank, serve: MakePeer, header: str) -> None:
    page = http(b"", status="302 Found", headers=[header])
    answer = bank.cancel(partner_at(serve(answering(page)).url, secret=CANARY), REQUEST)
    kept = f"{answer} {decide(answer, FIRST, POLICY)}"
    assert answer.location or answer.retry_after_text
    for spelled in (CANARY, quote(CANARY), quote(CANARY, safe=""), "canary", "0815"):
        assert spelled not in kept


def test_no_answer_that_is_kept_shows_a_header_of_a_gateway(
    bank: Bank, serve: MakePeer, tmp_path: Path
) -> None:
    """A gateway may quote what it was sent; a value from a file is a secret whatever its name."""
    (tmp_path / "key").write_text(CANARY)
    (tmp_path / "partners.toml").write_text(
        f"[partners.{REQUEST.partner_id}]\nsecret = 'a-secret-of-a-partner'\n"
        "headers = { x-gateway = { file = 'key' }, x-api-key = 'canary-written-down' }\n"
    )
    words = {"errorDesc": f"no {CANARY} and no canary-written-down", "statusCode": "10"}
    page = http(dumps(words | {"errorCode": CANARY}).encode(), headers=[f"Location: /{CANARY}"])
    url = serve(answering(page)).url
    roster = load_roster(tmp_path / "partners.toml", bank_url=url, inquiry_url=None)
    answer = bank.cancel(roster[REQUEST.partner_id], REQUEST)
    kept = f"{answer} {decide(answer, FIRST, POLICY)}"
    assert "[redacted]" in kept
    for spelled in (CANARY, repr(CANARY)[1:-1], quote(CANARY), "canary", "0815"):
        assert spelled not in kept


@pytest.mark.parametrize("bad", ["\u0e01", "\r\nX: 1", "\0"])
def test_a_secret_that_no_header_can_carry_is_not_shown(
    bank: Bank, serve: MakePeer, caplog: pytest.LogCaptureFixture, bad: str
) -> None:
    """`Partner` refuses such a secret; a copy made around it is not checked."""
    caplog.set_level(logging.DEBUG)
    partner = partner_at(serve(answering(http())).url)
    secret = type(partner.secret)(f"canary{bad}canary")
    with pytest.raises(BankError) as told:
        bank.cancel(partner.model_copy(update={"secret": secret}), REQUEST)
    assert told.value.fault == "bad_request"
    assert "canary" not in "".join(traceback.format_exception(told.value)) + caplog.text


def test_debug_logs_show_neither_the_secret_nor_what_the_bank_sent(
    make_bank: MakeBank, serve: MakePeer, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["httpx", "httpcore", "httpcore.connection", "httpcore.http11"]
    for name in names:
        caplog.set_level(logging.DEBUG, logger=name)
    bank = make_bank()
    peer = serve(answering(http(headers=[f"Partner-Secret: {CANARY}"])))
    bank.cancel(partner_at(peer.url, secret=CANARY), REQUEST)
    assert caplog.text == ""


def test_a_bank_is_shown_without_its_partners(bank: Bank, serve: MakePeer) -> None:
    bank.cancel(partner_at(serve(answering(http())).url, secret=CANARY), REQUEST)
    assert "canary" not in repr(bank)


@pytest.mark.parametrize(
    "text",
    [dumps(CANARY)[1:-1], dumps(CANARY)[1:-1].replace("/", "\\/").replace("c", "\\u0063")],
)
def test_an_echoed_secret_is_replaced_in_every_word(bank: Bank, serve: MakePeer, text: str) -> None:
    body = (
        f'{{"partnerTxnUid":"{text}","partnerId":"{text}","statusCode":"1{text}",'
        f'"errorCode":"{text}","errorDesc":"key {text} and {text} are wrong (EMA)",'
        f'"tokenList":[{{"tokenId":"{text}","reference1":"{text}","status":["{text}"]}}]}}'
    ).encode()
    partner = partner_at(serve(answering(http(body))).url, secret=CANARY)
    answer = bank.cancel(partner, REQUEST)
    assert "canary" not in repr(answer)
    assert answer.envelope is not None
    assert answer.envelope.error_desc == "key [redacted] and [redacted] are wrong (EMA)"
    assert answer.envelope.short_code == "EMA"
    assert answer.envelope.tokens[0].status == ("[redacted]",)


@pytest.mark.parametrize("bank_says", ["wrong: {}", "{}", "wrong: {}.", "{} (EMA)", "{}(EMA)."])
def test_no_form_of_a_secret_leaves_a_trace_in_any_field(bank_says: str) -> None:
    """The short code is read off the redacted text: a secret may end like one."""
    secret = "p@ss(CANARY12)"
    protect([secret])
    for name, form in forms(secret).items():
        said = bank_says.format(form)
        entry = {"tokenId": said, "reference1": said, "status": [said, said]}
        fields = ("partnerTxnUid", "partnerId", "statusCode", "errorCode", "errorDesc")
        body = dumps({**dict.fromkeys(fields, said), "tokenList": [entry]}).encode()
        envelope, _ = read_envelope(body, clean=cleaner(REQUEST))
        assert envelope is not None
        assert envelope.short_code == ("EMA" if "EMA" in bank_says else None), name
        assert form not in repr(envelope).replace("\\\\", "\\"), name
        assert "CANARY12" not in repr(envelope), name
        texts = [envelope.error_desc, envelope.status_code, envelope.tokens[0].token_id]
        assert all("[redacted]" in str(text) for text in texts), name


def test_a_number_that_is_the_secret_is_redacted() -> None:
    protect(["4111111111111119"])
    body = b'{"statusCode":"10","errorDesc":4111111111111119}'
    envelope, _ = read_envelope(body, clean=cleaner(REQUEST))
    assert envelope is not None
    assert envelope.error_desc == "[redacted]"


def test_the_secret_of_another_partner_is_redacted_too(
    make_bank: MakeBank, serve: MakePeer
) -> None:
    bank, other = make_bank(), "another/partners(SECRET1)"
    bank.cancel(partner_at(serve(answering(http())).url, secret=other), REQUEST)
    body = dumps({"statusCode": "10", "errorDesc": f"not yours: {other}"}).encode()
    envelope = bank.cancel(partner_at(serve(answering(http(body))).url), REQUEST).envelope
    assert envelope is not None
    assert (envelope.error_desc, envelope.short_code) == ("not yours: [redacted]", None)


@pytest.mark.parametrize("shift", range(MAX_TEXT_LENGTH - 30, MAX_TEXT_LENGTH + 2, 3))
def test_a_secret_cut_by_the_limit_of_a_word_is_replaced(
    bank: Bank, serve: MakePeer, shift: int
) -> None:
    described = dumps({"statusCode": "10", "errorDesc": "x" * shift + CANARY}).encode()
    partner = partner_at(serve(answering(http(described))).url, secret=CANARY)
    envelope = bank.cancel(partner, REQUEST).envelope
    assert envelope is not None
    assert envelope.error_desc is not None
    assert "cana" not in envelope.error_desc
    assert len(envelope.error_desc) <= MAX_TEXT_LENGTH


def test_our_own_ids_stay_even_where_they_contain_the_secret(bank: Bank, serve: MakePeer) -> None:
    """A test partner's secret may be a part of its id; the judgement must find the echo."""
    request = CancelRequest("UID-1", "KP-OWN-SECRET", "TOKEN-1", "R")
    body = dumps(
        {
            "partnerTxnUid": request.partner_txn_uid,
            "partnerId": request.partner_id,
            "statusCode": "00",
            "errorDesc": f"of {request.partner_id}",
            "tokenList": [{"tokenId": request.token_id, "reference1": "another"}],
        }
    ).encode()
    settings = {"partner_id": request.partner_id, "secret": request.partner_id}
    partner = partner_at(serve(answering(http(body))).url, **settings)
    envelope = bank.cancel(partner, request).envelope
    assert envelope is not None
    assert envelope.foreign_ids(request) == []
    assert envelope.missing_ids() == []
    assert envelope.error_desc == "of [redacted]"


def test_a_secret_too_short_to_hide_leaves_the_answer_alone(bank: Bank, serve: MakePeer) -> None:
    body = dumps({"statusCode": "00", "errorDesc": "00"}).encode()
    partner = partner_at(serve(answering(http(body))).url, secret="00")
    assert bank.cancel(partner, REQUEST).envelope == Envelope(status_code="00", error_desc="00")


def test_an_answer_without_the_secret_is_unchanged(bank: Bank, serve: MakePeer) -> None:
    answer = bank.cancel(partner_at(serve(answering(http())).url), REQUEST)
    assert answer == Answer.read(http_status=200, headers={}, body=CANCELLED, at=NOON)


PASSWORD = 'canary+a2V5/cGFzc3dvcmQ= "so" <&> 100%'
IDENTITY = {"client_cert": HERE / "client.pem", "client_key": HERE / "client_key_locked.pem"}


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"client_key": HERE / "other_key.pem"},
        {"client_key": Path("password.txt")},
        {"client_cert": Path("password.txt")},
        {"client_cert": HERE / "missing.pem"},
        {"ca_bundle": Path("password.txt")},
    ],
    ids=str,
)
def test_no_fault_shows_the_password_of_a_key(
    bank: Bank,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, Path],
) -> None:
    """Not even where a traceback is drawn with all its variables."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.chdir(tmp_path)
    Path("password.txt").write_text(PASSWORD)
    identity = {**IDENTITY, "client_key_password_file": Path("password.txt"), **files}
    with pytest.raises(BankError) as told:
        bank.cancel(partner_at("https://127.0.0.1:1/", secret=CANARY, **identity), REQUEST)
    assert told.value.fault == "bad_tls_files"
    drawn = ExceptionDictTransformer(show_locals=True, locals_max_string=10_000)
    shown = repr(drawn((type(told.value), told.value, told.value.__traceback__)))
    assert "_load_identity" in shown or "ca_bundle" in files
    for place in (everything_about(told.value), caplog.text, shown):
        assert "a2V5/cGFzc3dvcmQ" not in place


def test_the_password_of_a_key_is_redacted_wherever_it_would_stand(tmp_path: Path) -> None:
    """The last line of defence, as for the partner's secret."""
    (tmp_path / "password").write_text(PASSWORD)
    identity = {**IDENTITY, "client_key": HERE / "client_key_canary.pem"}
    known = {**identity, "client_key_password_file": tmp_path / "password"}
    partner_context(partner_at("https://127.0.0.1:1/", **known))
    for said in (PASSWORD, dumps(PASSWORD), quote(PASSWORD)):
        assert "a2V5" not in redact(f"the key is {said}")
