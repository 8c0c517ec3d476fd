"""What we lean on in Celery and kombu without a promise of theirs: red when it changes."""

import inspect
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import kombu
import pytest
from celery.concurrency import get_implementation
from celery.concurrency.asynpool import AsynPool
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.asynchronous.hub import Hub
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from worker.broker import consumer, redis
from worker.broker.app import create_app
from worker.broker.consumer.processes import ProcessPool


@pytest.mark.parametrize(
    ("package", "measured"), [("celery", consumer.MEASURED), ("kombu", redis.MEASURED)]
)
def test_the_release_is_the_one_that_was_measured(package: str, measured: str) -> None:
    """
    Red: run tests/celery against the new release, read its consumer and Redis transport.

    Then raise `MEASURED`. The outage tests show whether the fix for the restart is still
    needed; the hostile ones show the rest.
    """
    assert version(package).startswith(measured)


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (kombu_redis.Channel, "_connparams", ["self", "asynchronous"]),
        (kombu_redis.Channel, "_get_client", ["self"]),
        (kombu_redis.Channel, "_create_client", ["self", "asynchronous"]),
        (kombu_redis.QoS, "append", ["self", "message", "delivery_tag"]),
        (kombu_redis.QoS, "ack", ["self", "delivery_tag"]),
        (kombu_redis.QoS, "reject", ["self", "delivery_tag", "requeue"]),
        (kombu_redis.QoS, "restore_by_tag", ["self", "tag", "client", "leftmost"]),
        (
            kombu_redis.Channel,
            "_do_restore_message",
            ["self", "payload", "exchange", "routing_key", "pipe", "leftmost"],
        ),
        (kombu_redis.QoS, "restore_visible", ["self", "start", "num", "interval"]),
        (
            kombu_redis.Channel,
            "_queue_bind",
            ["self", "exchange", "routing_key", "pattern", "queue"],
        ),
        (kombu_redis.Channel, "_q_for_pri", ["self", "queue", "pri"]),
        (kombu_redis.Channel, "_get_message_priority", ["self", "message", "reverse"]),
        (virtual.QoS, "ack", ["self", "delivery_tag"]),
        (kombu_redis.Channel, "_deliver_fanout_message", ["self", "message", "exchange"]),
        (kombu_redis.SentinelChannel, "_deliver_fanout_message", ["self", "message", "exchange"]),
        (kombu_redis.SentinelChannel, "_sentinel_managed_pool", ["self", "asynchronous"]),
        (AsynPool, "_track_child_process", ["self", "proc", "hub"]),
        (CeleryConsumer, "create_task_handler", ["self", "promise"]),
        (CeleryConsumer, "on_decode_error", ["self", "message", "exc"]),
        (CeleryConsumer, "on_unknown_message", ["self", "body", "message"]),
        (CeleryConsumer, "on_unknown_task", ["self", "body", "message", "exc"]),
        (CeleryConsumer, "on_invalid_task", ["self", "body", "message", "exc"]),
    ],
)
def test_what_we_override_is_still_called_so(owner: Any, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


class Dead:
    """A child that ended, as Celery leaves it in its pool until another takes its place."""

    _sentinel_poll = None


def track(kind: Any, hub: Hub) -> None:
    """Let a pool of a kind, without processes, listen to a dead one."""
    kind._track_child_process(kind.__new__(kind), Dead(), hub)  # noqa: SLF001 -- what is overridden


def test_the_pool_does_not_listen_to_a_dead_child() -> None:
    """Celery does, where it connects anew in that moment, and its worker ends."""
    hub = Hub()
    try:
        with pytest.raises(ValueError, match="file descriptor is None"):
            track(AsynPool, hub)
        track(ProcessPool, hub)
        assert hub.readers == {}
    finally:
        hub.close()


def test_prefork_means_that_pool() -> None:
    url = "redis://127.0.0.1/0"
    app = create_app(broker_url=url, lease=timedelta(seconds=60), pool="prefork")
    assert get_implementation(app.conf.worker_pool).Pool is ProcessPool


def source(owner: Any, name: str) -> str:
    return inspect.getsource(getattr(owner, name))


def test_items_are_still_popped_by_brpop_through_the_channels_client() -> None:
    """`Client.parse_response` sees them there, before kombu reads them."""
    reading = source(kombu_redis.Channel, "_brpop_read")

    assert "self.client.parse_response" in reading
    assert "'BRPOP'" in reading
    assert "self._get_client()" in source(kombu_redis.Channel, "__init__")


def test_kombu_still_restores_by_the_address_in_the_message() -> None:
    """`envelope` writes the queue there."""
    assert "_lookup(exchange, routing_key)" in source(kombu_redis.Channel, "_do_restore_message")
    assert "if not exchange" in source(virtual.Channel, "_lookup")


def test_a_message_still_remembers_its_decoded_body() -> None:
    """`straighten` makes it forget when it writes a new one."""
    assert "self._decoded_cache = None" in source(kombu.Message, "__init__")
