"""The messages as an AsyncAPI document: docs/reference/asyncapi.json, made from the models."""

import json
from typing import Any

from tools.tree import ROOT
from worker.broker.app import CANCEL_QUEUE, CANCEL_TOKEN, HOUSEKEEPING_QUEUE, RECONCILE
from worker.domain.orders import Hint, Order
from worker.telemetry.about import __version__

PAGE = ROOT / "docs" / "reference" / "asyncapi.json"
_DRAFT = "http://json-schema.org/draft-07/schema#"


def document() -> str:
    """Return the document as it is written."""
    return json.dumps(_document(), indent=2) + "\n"


def schema(model: type[Hint]) -> dict[str, Any]:
    """Return the JSON Schema of a message's keyword arguments; keys that it does not name pass."""
    made = model.model_json_schema(by_alias=True)
    for field in made["properties"].values():
        field.pop("title", None)
        field.pop("default", None)
    return made


def _document() -> dict[str, Any]:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "kplus-cancel",
            "version": __version__,
            "description": "What the worker takes from its queues: Celery messages, protocol 2.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "cancel": _channel(CANCEL_QUEUE, "order", "hint"),
            "housekeeping": _channel(HOUSEKEEPING_QUEUE, "reconcile"),
        },
        "operations": {
            "cancelToken": _operation("cancel", "order"),
            "lookAtJob": _operation("cancel", "hint"),
            "reconcileNow": _operation("housekeeping", "reconcile"),
        },
        "components": {
            "messages": {
                "order": _message(CANCEL_TOKEN, "A token to cancel, whole", schema(Order)),
                "hint": _message(CANCEL_TOKEN, "Look at a job that is stored", schema(Hint)),
                "reconcile": _message(RECONCILE, "Make one pass of the sweep", {"type": "object"}),
            }
        },
    }


def _channel(queue: str, *messages: str) -> dict[str, Any]:
    named = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
    return {"address": queue, "messages": named}


def _operation(channel: str, message: str) -> dict[str, Any]:
    """Return what the worker does with a message: it receives it."""
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _message(task: str, summary: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return Celery's envelope around keyword arguments."""
    return {
        "name": task,
        "summary": summary,
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "required": ["id", "task"],
            "properties": {
                "id": {"type": "string", "description": "any, one a message, as a UUID"},
                "task": {"const": task},
                "lang": {"type": "string"},
            },
        },
        "payload": {
            "$schema": _DRAFT,
            "type": "array",
            "description": "[args, kwargs, embed]; what counts is kwargs",
            "minItems": 3,
            "maxItems": 3,
            "items": [{"type": "array"}, kwargs, {"type": ["object", "null"]}],
        },
    }
