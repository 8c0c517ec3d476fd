"""What the transport makes of a plain body: the same text, or a refusal, never another text."""

import base64
import json
from typing import Any

import pytest

from worker.broker.consumer.reports import as_bytes
from worker.broker.redis.envelopes import envelope
from worker.broker.sealed import UNREADABLE


def delivered(body: str) -> Any:
    item = {"body": body, "headers": {}, "properties": {"body_encoding": "utf-8"}}
    return json.loads(envelope(json.dumps(item).encode(), queue="q"))


@pytest.mark.parametrize("token_id", ["t\ud800", "\udcfft", "t\udfff\ud800"])
def test_half_a_character_in_a_plain_body_is_refused_and_never_replaced(token_id: str) -> None:
    found = delivered(f'[[], {{"tokenId": "{token_id}"}}, {{}}]')
    assert found["content-type"] == UNREADABLE
    assert found["headers"] == {"reason": "bad_encoding", "detail": "body is not UTF-8"}


def test_a_whole_character_in_two_halves_is_kept() -> None:
    found = delivered("\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"))
    assert base64.b64decode(found["body"]).decode() == "\U0001f600"


def test_a_body_as_text_with_half_a_character_is_no_utf_8() -> None:
    """RabbitMQ's transport may hand over text: what follows decodes it, and refuses it."""
    with pytest.raises(UnicodeDecodeError):
        as_bytes("t\ud800").decode()
