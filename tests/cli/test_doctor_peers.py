"""`doctor` against peers that misbehave: each is one line of it, and never a traceback."""

import socket
import ssl
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.bank.peer import Conversation, Peer, Play, saying
from tests.bank.tls_files import server_context
from tests.cli.conftest import Done, Run
from tests.servers.schema import ROOT
from tests.servers.workers import PARTNER_ID, SECRET

TLS = ROOT / "tests" / "bank" / "tls"
DOCTOR = ("doctor", "--json")


def resets(talk: Conversation) -> None:
    """End the connection with a reset, not with a farewell."""
    talk.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talk.line.close()


def hears_and_resets(talk: Conversation) -> None:
    """Reset the connection once the caller has begun to speak."""
    talk.line.recv(1)
    resets(talk)


def closes(talk: Conversation) -> None:
    """End the connection, having said nothing."""
    talk.line.close()


def says_goodbye(talk: Conversation) -> None:
    """End TLS in good order."""
    assert isinstance(talk.line, ssl.SSLSocket)
    talk.line.unwrap()


def line(done: Done, check: str) -> dict[str, Any]:
    (found,) = [each for each in done.json["checks"] if each["check"].startswith(check)]
    return dict(found)


def told_in_a_line(done: Done, check: str) -> dict[str, Any]:
    """Return the finding about a peer; nothing was printed beside the findings."""
    assert done.err == ""
    assert done.code in {1, 4}
    found = line(done, check)
    assert not found["ok"]
    assert found["remedy"]
    assert "\n" not in found["text"]
    return found


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("play", "words"),
    [
        (closes, "but it ends the connection at once"),
        (resets, "but it ends the connection at once"),
        (says_goodbye, "but it ends the connection at once"),
        (saying(b"HTTP/1.1 200 OK\r\n\r\n"), "but it speaks before it is asked"),
    ],
    ids=["closes", "resets", "says goodbye", "speaks first"],
)
def test_a_bank_that_does_not_stay_after_the_handshake_is_told(
    run: Run, tmp_path: Path, version: ssl.TLSVersion, play: Play, words: str
) -> None:
    with Peer(play, context=server_context("server.pem", at_most=version)) as bank:
        file = tmp_path / "partners.toml"
        file.write_text(
            f'[partners.{PARTNER_ID}]\nsecret = "{SECRET}"\nbank_url = "{bank.url}"\n'
            f'ca_bundle = "{TLS / "ca.pem"}"\n'
        )
        done = run(*DOCTOR, KPLUS_PARTNERS_FILE=file)
    assert words in told_in_a_line(done, "bank")["text"]
    assert bank.requests == []


@pytest.mark.parametrize(
    "play",
    [closes, hears_and_resets, saying(b"SSH-2.0-OpenSSH_9.7\r\n"), saying(b"\x16\x03\x03\x00\x40")],
    ids=["closes", "resets", "speaks otherwise", "breaks off"],
)
def test_what_cannot_shake_hands_is_told(run: Run, partner: dict[str, str], play: Play) -> None:
    with Peer(play) as bank:
        done = run(*DOCTOR, **partner, KPLUS_BANK_URL=f"https://127.0.0.1:{bank.port}/v1")
    assert "cannot be reached" in told_in_a_line(done, "bank")["text"]


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".example"])
def test_a_name_that_no_host_can_have_is_told(run: Run, partner: dict[str, str], host: str) -> None:
    done = run(*DOCTOR, **partner, KPLUS_BANK_URL=f"https://{host}/v1")
    assert "the name is not known" in told_in_a_line(done, "bank")["text"]


@pytest.mark.parametrize("scheme", ["redis", "rediss", "amqp"])
@pytest.mark.parametrize(
    "play",
    [
        closes,
        hears_and_resets,
        saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        saying(b"+\xff\xfe\r\n"),
    ],
    ids=["closes", "resets", "speaks HTTP", "speaks garbage"],
)
def test_a_broker_that_is_none_is_told(
    run: Run, partner: dict[str, str], scheme: str, play: Play
) -> None:
    with Peer(play) as peer:
        url = f"{scheme}://127.0.0.1:{peer.port}/0"
        done = run(*DOCTOR, **partner, KPLUS_BROKER_URL=url, KPLUS_BANK_URL="http://127.0.0.1:1/")
    assert told_in_a_line(done, "broker")["remedy"]


@pytest.mark.parametrize(
    "play",
    [closes, hears_and_resets, saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")],
    ids=["closes", "resets", "speaks HTTP"],
)
def test_a_database_that_is_none_is_told(run: Run, partner: dict[str, str], play: Play) -> None:
    with Peer(play) as peer:
        url = f"postgresql+psycopg://u:hidden-5@127.0.0.1:{peer.port}/d"
        done = run(*DOCTOR, **partner, KPLUS_DATABASE_URL=url, KPLUS_BANK_URL="http://127.0.0.1:1/")
    told_in_a_line(done, "database")
    assert "hidden" not in done.all()
