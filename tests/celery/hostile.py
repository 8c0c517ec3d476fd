"""Messages that no worker can run, and messages that only look so."""

import base64
import json
import pickle
from typing import Any
from uuid import uuid4

from tests.celery.recording_worker import SECRET
from worker.broker.app import CANCEL_TOKEN

CANARY = "canary-in-a-body"
KWARGS = {"partnerTxnUid": CANARY, "partnerSecret": SECRET}
PAYLOAD: list[Any] = [[], KWARGS, {}]
BODY = json.dumps(PAYLOAD)
MISSING = object()


def packed(body: str | bytes) -> str:
    return base64.b64encode(body if isinstance(body, bytes) else body.encode()).decode()


def headers(**changes: Any) -> dict[str, Any]:
    usual = {"lang": "py", "task": CANCEL_TOKEN, "id": str(uuid4()), "kwargsrepr": repr(KWARGS)}
    return {name: value for name, value in (usual | changes).items() if value is not MISSING}


def properties(**changes: Any) -> dict[str, Any]:
    usual = {
        "delivery_tag": str(uuid4()),
        "delivery_info": {"exchange": "kplus.cancel", "routing_key": "kplus.cancel"},
        "body_encoding": "base64",
        "delivery_mode": 2,
        "priority": 0,
    }
    return {name: value for name, value in (usual | changes).items() if value is not MISSING}


def item(**changes: Any) -> bytes:
    """Return a queue item as kombu writes it, with changes; `MISSING` leaves a part out."""
    usual = {
        "body": packed(BODY),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers(),
        "properties": properties(),
    }
    changes = {name.replace("_", "-"): value for name, value in changes.items()}
    whole = {name: value for name, value in (usual | changes).items() if value is not MISSING}
    return json.dumps(whole).encode()


def holding(body: str | bytes) -> bytes:
    return item(body=packed(body))


def headed(**changes: Any) -> bytes:
    return item(headers=headers(**changes))


def nested(levels: int, middle: str = "") -> str:
    return "[" * levels + middle + "]" * levels


OLD = {"task": CANCEL_TOKEN, "id": str(uuid4()), "args": [], "kwargs": KWARGS}

ITEMS: dict[str, tuple[bytes, str]] = {
    # The queue item itself.
    "a word": (b"garbage " + SECRET.encode(), "not_json"),
    "nothing": (b"", "not_json"),
    "a number": (b"5", "no_envelope"),
    "lists": (b"[[]]", "no_envelope"),
    "an empty object": (b"{}", "no_envelope"),
    "null": (b"null", "no_envelope"),
    "a string": (b'"text"', "no_envelope"),
    "not a number": (b"NaN", "no_envelope"),
    "an endless number": (b"9" * 5000, "not_json"),
    "a body alone": (b'{"body": 1}', "no_envelope"),
    "no properties": (item(properties=MISSING), "no_envelope"),
    "properties as a list": (item(properties=[[1, 2]]), "no_envelope"),
    "headers as a list": (item(headers=[1]), "no_envelope"),
    "no body": (item(body=MISSING), "no_envelope"),
    "a body that is a number": (item(body=7), "no_envelope"),
    "bad base64": (item(body=packed(BODY) + "!"), "bad_encoding"),
    "an unknown body_encoding": (
        item(properties=properties(body_encoding="rot13")),
        "bad_encoding",
    ),
    "a list as body_encoding": (item(properties=properties(body_encoding=[1])), "bad_encoding"),
    "a compressed body": (headed(compression="application/x-gzip"), "bad_encoding"),
    # As bytes it would be a question mark, and its ids other ids.
    "half a character in a plain body": (
        item(
            body=BODY.replace("{", '{"half": "\ud800", ', 1),
            properties=properties(body_encoding="utf-8"),
        ),
        "bad_encoding",
    ),
    "an abyss": (nested(100_000).encode(), "not_json"),
    "no UTF-8": (b"\xff\xfe\x00" + SECRET.encode(), "not_json"),
    "NUL bytes": (b"\0" * 10, "not_json"),
    "UTF-16": (item().decode().encode("utf-16"), "not_json"),
    "a cut item": (item()[:-20], "not_json"),
    "a pickle": (pickle.dumps(PAYLOAD), "not_json"),
    "five megabytes": (b'{"body": "' + b"x" * 5_000_000 + b'"}', "too_large"),
    "an unknown kombu type": (
        item(content_type={"__type__": "x", "__value__": 1}),
        "wrong_content_type",
    ),
    "a broken kombu type": (
        headed(task={"__type__": "uuid", "__value__": {"hex": "?"}}),
        "bad_headers",
    ),
    "a kombu type for headers": (
        item(headers={"__type__": "x", "__value__": 1}),
        "bad_headers",
    ),
    # The body.
    "body 5": (holding("5"), "wrong_shape"),
    "body [[]]": (holding("[[]]"), "wrong_shape"),
    "body [[], {}]": (holding("[[], {}]"), "wrong_shape"),
    "body [1, 2, 3]": (holding("[1, 2, 3]"), "wrong_shape"),
    "body null": (holding("null"), "wrong_shape"),
    "body {}": (holding("{}"), "wrong_shape"),
    "body []": (holding("[]"), "wrong_shape"),
    "body of four": (holding("[[], {}, {}, {}]"), "wrong_shape"),
    "args null": (holding("[null, {}, {}]"), "wrong_shape"),
    "args an object": (holding("[{}, {}, {}]"), "wrong_shape"),
    "args the word args": (holding('["args", {}, {}]'), "wrong_shape"),
    "kwargs a list": (holding("[[], [], {}]"), "wrong_shape"),
    "kwargs a string": (holding('[[], "args", {}]'), "wrong_shape"),
    "embed a list": (holding("[[], {}, [1]]"), "wrong_shape"),
    "embed a number": (holding("[[], {}, 5]"), "wrong_shape"),
    "a deep body": (holding(f"[{nested(40)}, {{}}, {{}}]"), "wrong_shape"),
    "an abyss of a body": (holding(nested(100_000)), "not_json"),
    "a body that is no JSON": (holding(f"no {SECRET}"), "not_json"),
    "an empty body": (holding(""), "wrong_shape"),
    "a cut body": (holding(BODY[:-9]), "not_json"),
    "a body of NUL": (holding("\0\0"), "not_json"),
    "a body that is no UTF-8": (holding(b"\xc3\x28" + BODY.encode()), "bad_encoding"),
    "a body in UTF-16": (holding(BODY.encode("utf-16")), "bad_encoding"),
    "a large body": (holding(json.dumps([[], KWARGS | {"x": "y" * 400_000}, {}])), "too_large"),
    "a broken kombu type in kwargs": (
        holding(json.dumps([[], {"x": {"__type__": "uuid", "__value__": {"hex": "?"}}}, {}])),
        "not_json",
    ),
    # Content type and encoding.
    "pickle by type": (item(content_type="application/x-python-serialize"), "wrong_content_type"),
    "yaml by type": (item(content_type="application/x-yaml"), "wrong_content_type"),
    "plain text by type": (item(content_type="text/plain"), "wrong_content_type"),
    "no content type": (item(content_type=MISSING), "wrong_content_type"),
    "a number as content type": (item(content_type=5), "wrong_content_type"),
    "a list as content encoding": (item(content_encoding=[1]), "bad_encoding"),
    "utf-16 as content encoding": (item(content_encoding="utf-16"), "bad_encoding"),
    # Headers.
    "no headers": (item(headers=MISSING), "bad_headers"),
    "headers null": (item(headers=None), "bad_headers"),
    "no task": (headed(task=MISSING), "bad_headers"),
    "a number as task": (headed(task=5), "bad_headers"),
    "a list as task": (headed(task=[CANCEL_TOKEN]), "bad_headers"),
    "an object as task": (headed(task={}), "bad_headers"),
    "an empty task": (headed(task=""), "bad_headers"),
    "an endless task": (headed(task="x" * 1000), "bad_headers"),
    "no id": (headed(id=MISSING), "bad_headers"),
    "an empty id": (headed(id=""), "bad_headers"),
    "a list as id": (headed(id=[1]), "bad_headers"),
    "a number as id": (headed(id=5), "bad_headers"),
    "a NUL in the id": (headed(id="a\0b"), "bad_headers"),
    "an id of two lines": (headed(id="a\nb"), "bad_headers"),
    "an unknown task": (headed(task="no.such.task"), "unknown_task"),
    "an unknown task with NUL": (headed(task="no\0task"), "unknown_task"),
    "a task of Celery's own": (headed(task="celery.chain"), "unknown_task"),
    "protocol 1": (item(body=packed(json.dumps(OLD)), headers={}), "old_protocol"),
    "protocol 1 under 2": (item(body=packed(json.dumps(OLD))), "wrong_shape"),
    "protocol 1 with odd parts": (
        item(body=packed(json.dumps(OLD | {"args": 5, "kwargs": 5})), headers={}),
        "old_protocol",
    ),
}
