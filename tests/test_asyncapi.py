"""The document for machines: made from the models, and as strict as what reads the messages."""

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tools import asyncapi
from worker.domain.orders import Hint, Order, read_message
from worker.errors import InvalidOrder

ORDER = {"partnerTxnUid": "U1", "tokenId": "T1", "reference1": "R1"}
DOCUMENT = json.loads(asyncapi.PAGE.read_text(encoding="utf-8"))


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in ORDER.items() if name != key}


def test_the_document_is_that_of_the_code() -> None:
    """If this fails: `python -m tools.docs` renews it."""
    assert asyncapi.PAGE.read_text(encoding="utf-8") == asyncapi.document()


def test_every_reference_leads_somewhere() -> None:
    def look(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                target = DOCUMENT
                for step in node["$ref"].removeprefix("#/").split("/"):
                    target = target[step]
            for value in node.values():
                look(value)
        elif isinstance(node, list):
            for value in node:
                look(value)

    look(DOCUMENT)
    assert json.dumps(DOCUMENT).count("$ref") == 9


@pytest.mark.parametrize("name", ["order", "hint", "reconcile"])
def test_a_celery_body_fits_its_payload(name: str) -> None:
    payload = DOCUMENT["components"]["messages"][name]["payload"]
    Draft7Validator.check_schema(payload)
    kwargs = {"order": ORDER, "hint": {"partnerTxnUid": "U1"}, "reconcile": {}}[name]
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    validator = Draft7Validator(payload)
    assert validator.is_valid([[], kwargs, embed])
    assert not validator.is_valid(kwargs)
    assert not validator.is_valid([[], kwargs])


@pytest.mark.parametrize(
    "kwargs",
    [
        ORDER,
        ORDER | {"partnerId": "P1", "expiresAt": 1764253800},
        ORDER | {"expiresAt": 1764253800.5},
        ORDER | {"expiresAt": "2026-11-22T12:30:00+07:00"},
        ORDER | {"expiresAt": None, "partnerId": None, "more": {"of": "it"}},
        without("partnerTxnUid"),
        without("tokenId"),
        without("reference1"),
        ORDER | {"partnerTxnUid": ""},
        ORDER | {"partnerTxnUid": 7},
        ORDER | {"partnerTxnUid": "U" * 65},
        ORDER | {"tokenId": "with blank"},
        ORDER | {"tokenId": "T" * 129},
        ORDER | {"reference1": ""},
        ORDER | {"partnerId": "ประเทศ"},
        ORDER | {"expiresAt": 1764253800000},
        ORDER | {"expiresAt": -1},
        ORDER | {"expiresAt": True},
        ORDER | {"expiresAt": ["2026"]},
    ],
)
def test_the_schema_takes_what_the_worker_takes(kwargs: dict[str, Any]) -> None:
    try:
        taken = isinstance(read_message(kwargs), Order)
    except InvalidOrder:
        taken = False
    assert Draft7Validator(asyncapi.schema(Order)).is_valid(kwargs) is taken


@pytest.mark.parametrize("kwargs", [{"partnerTxnUid": "U1"}, {"partnerTxnUid": "U 1"}, {}])
def test_the_same_holds_for_hints(kwargs: dict[str, Any]) -> None:
    try:
        taken = isinstance(read_message(kwargs), Hint)
    except InvalidOrder:
        taken = False
    assert Draft7Validator(asyncapi.schema(Hint)).is_valid(kwargs) is taken
