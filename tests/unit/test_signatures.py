"""Signatures are those of the Standard Webhooks specification."""

import base64
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.servers.schema import ROOT
from worker.domain import signatures
from worker.domain.events import event_id
from worker.domain.signatures import read_key

# Published with the specification's own libraries, as the worked example of all of them.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = datetime.fromtimestamp(1614265330, tz=UTC)
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_example_is_signed_as_published() -> None:
    assert signatures.headers([read_key(SECRET)], event_id=ID, at=AT, body=BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_two_secrets_make_two_signatures_with_a_space_between() -> None:
    other = b"x" * 32
    both = [read_key(SECRET), other]
    signed = signatures.headers(both, event_id=ID, at=AT, body=BODY)["webhook-signature"]
    alone = signatures.headers([other], event_id=ID, at=AT, body=BODY)["webhook-signature"]
    assert signed == f"{SIGNATURE} {alone}"


@pytest.mark.parametrize("length", [24, 64])
def test_a_key_has_the_length_that_the_specification_wants(length: int) -> None:
    assert read_key(f"whsec_{base64.b64encode(b'k' * length).decode()}") == b"k" * length


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        SECRET.replace("Mf", "M?"),
        SECRET[:-1],
        f"{SECRET}\n",
        f"whsec_{base64.b64encode(b'k' * 23).decode()}",
        f"whsec_{base64.b64encode(b'k' * 65).decode()}",
        "whsec_ไม่ใช่",
    ],
)
def test_what_is_no_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="must be whsec_ and the base64 of 24 to 64") as refused:
        read_key(secret)
    assert not secret.strip() or secret == "whsec_" or secret.strip() not in str(refused.value)


def test_the_page_for_receivers_verifies_what_we_sign() -> None:
    """Its Python is run as it stands there; its event has the id that ours would have."""
    page = (ROOT / "docs" / "how-to" / "outcomes.md").read_text()
    (code,) = re.findall(r"```python\n(import base64.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/how-to/outcomes.md", "exec"), names)  # noqa: S102 - our own page
    verified = names["verified"]
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()

    def signed(at: datetime) -> dict[str, str]:
        keys = [read_key(SECRET), read_key(other)]
        return signatures.headers(keys, event_id=ID, at=at, body=BODY)

    now = signed(datetime.now(UTC))
    assert verified(SECRET, now, BODY)
    assert verified(other, now, BODY)
    assert not verified(SECRET, now, BODY + b" ")
    assert not verified(SECRET, now | {"webhook-id": "evt_other"}, BODY)
    assert not verified(SECRET, signed(AT), BODY)
    assert event_id("ORDER-1", 1) in page
