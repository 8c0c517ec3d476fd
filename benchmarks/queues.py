"""Filling a worker's queue at one stroke, so that no producer takes part in what is measured."""

import base64
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import redis
from celery import Celery

from tests.servers.waiting import eventually
from worker.broker.keys import SHARED_UNACKED, UNACKED

ASIDE = 15
"""The Redis database in which messages are written before they are handed over."""
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Queue:
    """One worker's queue: a Redis database of its own, a name in it, and a task."""

    broker_url: str
    number: int
    name: str
    task: str

    @property
    def url(self) -> str:
        """The worker's broker."""
        return self._at(self.number)

    def fill(self, orders: Iterable[Mapping[str, Any]]) -> None:
        """Put a message for each of the orders into the queue, all at once."""
        with redis.Redis.from_url(self._at(ASIDE)) as aside:
            aside.flushdb()
            envelope = self._envelope(aside)
            batch: list[str] = []
            for order in orders:
                batch.append(_fresh(envelope, order))
                if len(batch) == BATCH:
                    aside.lpush(self.name, *batch)
                    batch.clear()
            if batch:
                aside.lpush(self.name, *batch)
            # A sweep may have put a hint there: only an empty queue takes the messages at a stroke.
            eventually(lambda: aside.move(self.name, self.number))

    def drain(self, *, within: float = 600.0) -> None:
        """Wait until every message has been taken, and every order acknowledged."""
        with redis.Redis.from_url(self.url) as mine:
            eventually(
                lambda: not mine.llen(self.name) and not self._held(mine),
                within=within,
                saying=lambda: f"{mine.llen(self.name)} wait, {self._held(mine)} are in work",
            )

    @staticmethod
    def _held(mine: "redis.Redis") -> int:
        """Return how many messages workers hold: ours, and those of Celery's own."""
        ours, theirs = (int(mine.hlen(key)) for key in (UNACKED, SHARED_UNACKED))
        return ours + theirs

    def _envelope(self, aside: "redis.Redis") -> dict[str, Any]:
        """Return what Celery makes of a message without arguments."""
        with Celery("producer", broker=self._at(ASIDE)) as app:
            app.send_task(self.task, kwargs={}, queue=self.name)
        message: Any = aside.lpop(self.name)
        envelope: dict[str, Any] = json.loads(message)
        return envelope

    def _at(self, number: int) -> str:
        return f"{self.broker_url.rsplit('/', 1)[0]}/{number}"


def _fresh(envelope: dict[str, Any], kwargs: Mapping[str, Any]) -> str:
    """Return one message: other ids, other arguments."""
    number = str(uuid.uuid4())
    body = json.dumps([[], dict(kwargs), {}]).encode()
    headers = envelope["headers"] | {"id": number, "root_id": number}
    properties = envelope["properties"] | {
        "correlation_id": number,
        "delivery_tag": str(uuid.uuid4()),
    }
    message = envelope | {
        "body": base64.b64encode(body).decode(),
        "headers": headers,
        "properties": properties,
    }
    return json.dumps(message)
