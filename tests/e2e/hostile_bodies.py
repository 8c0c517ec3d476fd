"""Messages that carry a secret where none belongs, each in another dress."""

import base64
import html
import json
import pickle
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import uuid4

from tests.servers.secret_forms import forms
from worker.broker.app import CANCEL_TOKEN

JSON = "application/json"


def bodies(secret: str) -> list[bytes]:
    """Return queue items with the secret, none of which can become a job."""
    written = json.dumps(secret)
    of_php = written.replace("/", "\\/")
    return [
        # In a message that can be read.
        _item(_kwargs(partnerSecret=secret)),
        _item(_kwargs(partner_secret=secret, note=f"the key is {secret}, as agreed")),
        _item(_kwargs(credentials={"partnerSecret": secret, "list": [secret, {"deep": secret}]})),
        _item(_kwargs(tokenId=secret, reference1={"x": secret}, expiresAt=secret)),
        _item(_kwargs(**{secret: "a name"})),
        _item(json.dumps([[secret, [secret]], {"tokenId": "T"}, {}])),
        _item(json.dumps([[], {"partnerTxnUid": secret}, {}])),
        _item(_kwargs(url=f"https://bank/cancel?key={quote(secret, safe='')}&x=1")),
        _item(_kwargs(packed=base64.b64encode(secret.encode()).decode())),
        _item(_kwargs(basic=base64.b64encode(f"KP-REAL:{secret}".encode()).decode())),
        _item(_kwargs(inner=json.dumps({"partnerSecret": secret, "key": secret}))),
        # In a body that cannot.
        _item(f'{{"partnerSecret": {written}, "cut": '),
        _item(f'{{"partnerSecret":{of_php},"key":{of_php}'),
        _item(f"key: {secret}"),
        _item(json.dumps(f'{{"key": {of_php}}}')),
        _item(
            f"partnerSecret={quote_plus(secret)}&key={quote_plus(secret)}", content_type="text/x"
        ),
        _item(f"<key>{html.escape(secret)}</key>", content_type="text/xml"),
        _item(pickle.dumps({"key": secret}), content_type="application/x-python-serialize"),
        _item(base64.b64encode(f'{{"key": {written}}}'.encode())),
        _item(_kwargs(partnerSecret=secret), task="no.such.task"),
        _item(_kwargs(), task=f"task of {secret}"),
        _item(_kwargs(), headers={"kwargsrepr": secret, "argsrepr": secret, secret: secret}),
        _item(_kwargs(), headers={"task": None, "note": secret}),
        # In every encoding, and in mixes of them.
        *(_item(_kwargs(note=form)) for form in forms(secret).values()),
        # In what is no message at all.
        f"garbage {secret}".encode(),
        json.dumps({"body": secret, "headers": {"key": secret}}).encode(),
        b"\xff " + base64.b64encode(f"x{secret}".encode()),
        quote(secret).encode(),
    ]


def _kwargs(**given: Any) -> str:
    return json.dumps([[], given, {}])


def _item(
    body: str | bytes,
    *,
    task: str = CANCEL_TOKEN,
    content_type: str = JSON,
    headers: dict[str, Any] | None = None,
) -> bytes:
    raw = body.encode() if isinstance(body, str) else body
    whole = {
        "body": base64.b64encode(raw).decode(),
        "content-type": content_type,
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": task, "id": str(uuid4())} | (headers or {}),
        "properties": {"body_encoding": "base64", "delivery_tag": str(uuid4())},
    }
    return json.dumps(whole).encode()
