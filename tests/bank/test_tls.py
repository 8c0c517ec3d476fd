"""Whom we trust, and how we prove who we are."""

import re
import socket
import ssl
from contextlib import closing
from pathlib import Path

import pytest

from tests.bank.conftest import MakePeer, partner_at
from tests.bank.peer import REQUEST, answering, http
from tests.bank.tls_files import (
    AUTHORITY,
    AUTHORITY_BELOW,
    HERE,
    LOOSE_AUTHORITY,
    OTHER_AUTHORITY,
    at_localhost,
    server_context,
)
from worker.bank import Bank
from worker.bank.identity import needs_tls, partner_context
from worker.domain.kplus import CancelRequest
from worker.errors import (
    AnswerLost,
    BankUnreachable,
    BankUntrusted,
    CallMisconfigured,
    CertificateRefused,
)
from worker.net.deadline import Deadline
from worker.net.errors import TlsAlert, TlsRefused
from worker.net.stream import DeadlineStream
from worker.net.tls import context_for_bundle, context_without_authorities, default_context
from worker.net.trust import advice
from worker.sandbox import Sandbox

IDENTITY = {"client_cert": HERE / "client.pem", "client_key": HERE / "client_key.pem"}
TLS_1_2 = ssl.TLSVersion.TLSv1_2
TLS_1_3 = ssl.TLSVersion.TLSv1_3


def test_a_private_authority_is_trusted_where_it_is_named(bank: Bank, serve: MakePeer) -> None:
    peer = serve(answering(http()), context=server_context())
    assert bank.cancel(partner_at(peer.url, ca_bundle=AUTHORITY), REQUEST).envelope is not None


@pytest.mark.parametrize(
    ("certificate", "ca_bundle"),
    [("server_loose.pem", LOOSE_AUTHORITY), ("server_below.pem", AUTHORITY_BELOW)],
    ids=["an authority as companies have it", "an authority that is no root"],
)
def test_what_a_named_bundle_holds_is_trusted_as_it_is_on_every_python(
    bank: Bank, serve: MakePeer, certificate: str, ca_bundle: Path
) -> None:
    """Python 3.13 refuses the first by default, and the versions before refuse the second."""
    peer = serve(answering(http()), context=server_context(certificate))
    assert bank.cancel(partner_at(peer.url, ca_bundle=ca_bundle), REQUEST).envelope is not None


def test_certificates_are_read_alike_on_every_python() -> None:
    """Public ones by RFC 5280, those of a named bundle as they are."""
    named, public = context_for_bundle(AUTHORITY), default_context()
    flags = ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_TRUSTED_FIRST
    assert named.verify_flags == flags
    assert public.verify_flags == flags | ssl.VERIFY_X509_STRICT
    for context in (named, public):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname


@pytest.mark.parametrize(
    ("certificate", "ca_bundle", "says"),
    [
        ("server.pem", OTHER_AUTHORITY, "get local issuer certificate: put the certificate of its"),
        ("expired.pem", AUTHORITY, "expired: ask its owner for a new one"),
        ("other_host.pem", AUTHORITY, "not valid for 'localhost': it is for another name"),
        ("server_itself.pem", AUTHORITY, "self-signed certificate: it signs itself"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_told_with_what_to_do(
    bank: Bank, serve: MakePeer, certificate: str, ca_bundle: Path, says: str
) -> None:
    peer = serve(answering(http()), context=server_context(certificate))
    with pytest.raises(BankUntrusted) as told:
        bank.cancel(partner_at(peer.url, ca_bundle=ca_bundle), REQUEST)
    assert says in str(told.value)


def test_a_fault_that_nobody_foresaw_is_told_in_openssls_words() -> None:
    error = ssl.SSLCertVerificationError(1, "canary")
    error.verify_code, error.verify_message = 9999, "something new"
    assert advice(error) == "something new"
    error.verify_code, error.verify_message = 89, "Basic Constraints of CA cert not critical"
    assert "name the CA bundle" in advice(error)


@pytest.mark.parametrize(
    ("certificate", "ca_bundle"),
    [("server.pem", None), ("expired.pem", AUTHORITY), ("other_host.pem", AUTHORITY)],
)
def test_a_peer_that_cannot_prove_itself_is_sent_nothing(
    bank: Bank, serve: MakePeer, certificate: str, ca_bundle: Path | None
) -> None:
    peer = serve(answering(http()), context=server_context(certificate))
    with pytest.raises(BankUntrusted) as told:
        bank.cancel(partner_at(peer.url, ca_bundle=ca_bundle), REQUEST)
    assert told.value.fault == "tls_untrusted"
    assert peer.requests == []


def test_the_environment_cannot_widen_our_trust(
    bank: Bank, serve: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(AUTHORITY))
    peer = serve(answering(http()), context=server_context())
    with pytest.raises(BankUntrusted):
        bank.cancel(partner_at(peer.url), REQUEST)


def test_tls_older_than_1_2_is_refused(bank: Bank, serve: MakePeer) -> None:
    context = server_context()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    peer = serve(answering(http()), context=context)
    with pytest.raises(BankUnreachable) as told:
        bank.cancel(partner_at(peer.url, ca_bundle=AUTHORITY), REQUEST)
    assert told.value.fault == "tls_failed"


def test_a_peer_without_tls_is_sent_nothing(bank: Bank, serve: MakePeer) -> None:
    peer = serve(lambda talk: talk.say(http()))
    with pytest.raises(BankUnreachable) as told:
        bank.cancel(partner_at(peer.url.replace("http:", "https:")), REQUEST)
    assert told.value.fault == "tls_failed"


@pytest.mark.parametrize("at_most", [TLS_1_2, TLS_1_3])
@pytest.mark.parametrize(
    "identity",
    [
        IDENTITY,
        {
            "client_cert": HERE / "client.pem",
            "client_key": HERE / "client_key_locked.pem",
            "client_key_password_file": HERE / "client_key_password.txt",
        },
    ],
    ids=["plain key", "locked key"],
)
def test_a_client_certificate_reaches_the_bank(
    bank: Bank, serve: MakePeer, identity: dict[str, Path], at_most: ssl.TLSVersion
) -> None:
    context = server_context(asks_for_client=True, at_most=at_most)
    peer = serve(answering(http()), context=context)
    partner = partner_at(peer.url, ca_bundle=AUTHORITY, **identity)
    assert bank.cancel(partner, REQUEST).envelope is not None


@pytest.mark.parametrize("at_most", [TLS_1_2, TLS_1_3])
@pytest.mark.parametrize(
    ("identity", "says"),
    [
        ({}, r"(certificate_required: it|handshake_failure: it may) wants? one: set client_cert"),
        ({**IDENTITY, "client_cert": HERE / "client_expired.pem"}, "certificate_expired: .* new"),
        ({**IDENTITY, "client_cert": HERE / "client_stranger.pem"}, "unknown_ca: .* registered"),
    ],
    ids=["missing", "expired", "of another authority"],
)
def test_a_refused_identity_is_told_with_what_to_do(
    bank: Bank, identity: dict[str, Path], says: str, at_most: ssl.TLSVersion
) -> None:
    """In TLS 1.3 the refusal comes when the request is on its way; it is as certain."""
    trusted = OTHER_AUTHORITY if "client_expired" in str(identity) else None
    context = server_context(asks_for_client=True, also_trusts=trusted, at_most=at_most)
    with Sandbox(ssl_context=context) as sandbox, pytest.raises(CertificateRefused) as told:
        bank.cancel(partner_at(at_localhost(sandbox), ca_bundle=AUTHORITY, **identity), REQUEST)
    assert told.value.fault == "tls_refused"
    assert re.search(says, str(told.value))
    assert sandbox.journal.entries() == []


def test_a_refusal_that_drowns_in_a_reset_is_doubt(bank: Bank, serve: MakePeer) -> None:
    """
    A peer that does not hear its caller out may reset the line, and the alert is lost.

    Which of the two arrives is the network's choice; without the alert nothing is certain.
    """
    peer = serve(answering(http()), context=server_context(asks_for_client=True))
    with pytest.raises((AnswerLost, CertificateRefused)) as told:
        bank.cancel(partner_at(peer.url, ca_bundle=AUTHORITY), REQUEST)
    dropped = told.value.fault in ("connection_dropped", "write_failed")
    assert isinstance(told.value, AnswerLost) == dropped
    assert peer.requests == []


def test_a_peer_that_shares_no_cipher_does_not_speak_of_our_certificate(
    bank: Bank, serve: MakePeer
) -> None:
    """It says `handshake_failure` as well; what it lacks is no certificate."""
    context = server_context(asks_for_client=True, at_most=TLS_1_2)
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # its certificate has no RSA key
    peer = serve(answering(http()), context=context)
    with pytest.raises(BankUnreachable) as told:
        bank.cancel(partner_at(peer.url, ca_bundle=AUTHORITY), REQUEST)
    assert told.value.fault == "tls_failed"


def test_we_never_offer_to_prove_ourselves_later() -> None:
    """Only so can a refusal in TLS 1.3 not follow upon a request that was read."""
    own = partner_context(partner_at("https://localhost/", ca_bundle=AUTHORITY, **IDENTITY))
    for context in (own, default_context()):
        assert not context.post_handshake_auth


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"ca_bundle": HERE / "missing.pem"}, "missing.pem"),
        ({"ca_bundle": HERE / "client_key_password.txt"}, "client_key_password.txt"),
        ({"client_cert": HERE / "missing.pem"}, "missing.pem"),
        ({"client_cert": HERE / "client.pem"}, "client.pem"),
        ({**IDENTITY, "client_cert": HERE / "README.md"}, "README.md"),
        ({**IDENTITY, "client_key": HERE / "ca.pem"}, "ca.pem holds no key"),
        ({**IDENTITY, "client_key": HERE / "other_key.pem"}, "other_key.pem does not fit"),
        (
            {**IDENTITY, "client_key": HERE / "client_key_locked.pem"},
            "client_key_locked.pem is locked: set client_key_password_file",
        ),
        (
            {
                **IDENTITY,
                "client_key": HERE / "client_key_locked.pem",
                "client_key_password_file": HERE / "ca.pem",
            },
            "ca.pem does not open client_key",
        ),
        ({**IDENTITY, "client_key_password_file": HERE / "missing.txt"}, "missing.txt"),
    ],
    ids=str,
)
def test_tls_files_that_cannot_be_used_are_named(
    bank: Bank, files: dict[str, Path], named: str
) -> None:
    """A key that needs a password must not make a worker wait on its terminal."""
    with pytest.raises(CallMisconfigured) as told:
        bank.cancel(partner_at("https://127.0.0.1:1/", **files), REQUEST)
    assert told.value.fault == "bad_tls_files"
    assert named in str(told.value)


def test_repaired_tls_files_are_used_at_the_next_call(
    bank: Bank, serve: MakePeer, tmp_path: Path
) -> None:
    peer = serve(answering(http()), context=server_context())
    partner = partner_at(peer.url, ca_bundle=tmp_path / "bank.pem")
    with pytest.raises(CallMisconfigured):
        bank.cancel(partner, REQUEST)
    (tmp_path / "bank.pem").write_bytes(AUTHORITY.read_bytes())
    assert bank.cancel(partner, REQUEST).envelope is not None


def test_partners_without_tls_files_share_one_context(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each context costs some thirty milliseconds."""
    made: list[ssl.SSLContext] = []

    def make() -> ssl.SSLContext:
        made.append(default_context())
        return made[-1]

    monkeypatch.setattr("worker.bank.client.default_context", make)
    for partner_id in ("ONE", "TWO"):
        partner = partner_at("https://127.0.0.1:1/", partner_id=partner_id)
        with pytest.raises(BankUnreachable):
            bank.cancel(partner, CancelRequest("uid", partner_id, "token", "reference"))
    assert len(made) == 1


def test_a_partner_without_tls_costs_no_context_and_trusts_nobody() -> None:
    plain = partner_at("http://127.0.0.1:1/", inquiry_url=None)
    assert not needs_tls(plain)
    assert needs_tls(partner_at("http://127.0.0.1:1/", inquiry_url="https://127.0.0.1:1/"))
    assert context_without_authorities().verify_mode is ssl.CERT_REQUIRED
    assert context_without_authorities().check_hostname
    assert context_without_authorities().get_ca_certs() == []


class _Revoking(socket.socket):
    """A line whose peer says some things and then refuses our certificate."""

    def __init__(self, *said: bytes) -> None:
        super().__init__()
        self._said = list(said)

    def recv(self, *_: object) -> bytes:
        if self._said:
            return self._said.pop(0)
        error = ssl.SSLError(1, "refused")
        error.reason = "SSLV3_ALERT_CERTIFICATE_REVOKED"
        raise error


@pytest.mark.parametrize(
    ("line", "late", "expected"),
    [
        (_Revoking(), True, TlsRefused),
        (_Revoking(), False, TlsAlert),
        (_Revoking(b"HTTP/1.1 200 OK\r\n"), True, TlsAlert),
    ],
    ids=["TLS 1.3", "TLS 1.2", "after an answer"],
)
def test_only_a_refusal_that_comes_first_is_certain(
    *, line: socket.socket, late: bool, expected: type[Exception]
) -> None:
    """TLS 1.2 may ask for our certificate once it has read the request; so may an old line."""
    stream = DeadlineStream(line, may_refuse=late)
    with closing(stream), Deadline(5), pytest.raises(expected):
        list(iter(lambda: stream.read(100), b""))
