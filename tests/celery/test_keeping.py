"""What happens to a rejected message when the report about it cannot be sent."""

import pytest

from tests.celery.conftest import StartWorker
from tests.celery.hostile import CANARY, headed, item
from tests.celery.parts import RedisServer
from tests.celery.recording_worker import SECRET
from tests.servers.waiting import LIMIT
from worker.broker.app import CANCEL_QUEUE
from worker.broker.keys import UNACKED, UNACKED_INDEX

pytestmark = [pytest.mark.broker, pytest.mark.e2e]


def test_a_message_that_cannot_be_kept_is_not_acknowledged_and_comes_back(
    redis_server: RedisServer, start_worker: StartWorker
) -> None:
    """Redis refuses LPUSH, by which Celery publishes, and nothing else."""
    worker = start_worker()
    hostile = headed(task="no.such.task")
    with redis_server.client() as redis:
        redis.execute_command("ACL", "SETUSER", "default", "-lpush")
        redis.rpush(CANCEL_QUEUE, hostile)
        worker.wait(lambda: "rejected_message_not_kept" in worker.log(), "the failure")
        redis.rpush(CANCEL_QUEUE, item())
        worker.wait(lambda: worker.entries("done"), "the next job")
        worker.wait(lambda: redis.hlen(UNACKED) == 1, "the next job to be acknowledged")
        assert not worker.entries("kept")
        assert CANARY not in worker.log()
        assert SECRET not in worker.log()

        redis.execute_command("ACL", "SETUSER", "default", "+lpush")
        assert worker.stop() == 0
        assert redis.hlen(UNACKED) == 0
        assert redis.llen(CANCEL_QUEUE) == 1

    again = start_worker()
    again.wait(lambda: again.entries("kept"), "the report")
    assert [entry["kwargs"]["reason"] for entry in again.entries("kept")] == ["unknown_task"]


def test_a_worker_killed_with_an_unreadable_item_in_hand_loses_nothing(
    redis_server: RedisServer, start_worker: StartWorker
) -> None:
    """Once popped and wrapped it is restored like any message, and read the same again."""
    worker = start_worker()
    with redis_server.client() as redis:
        redis.execute_command("ACL", "SETUSER", "default", "-lpush")
        redis.rpush(CANCEL_QUEUE, b"rubbish " + SECRET.encode())
        worker.wait(lambda: "rejected_message_not_kept" in worker.log(), "the failure")
        worker.process.kill()
        worker.process.wait(LIMIT)
        redis.execute_command("ACL", "SETUSER", "default", "+lpush")
        # What the next worker's restore would wait out: the visibility timeout.
        for tag in redis.zrange(UNACKED_INDEX, 0, -1):
            redis.zadd(UNACKED_INDEX, {tag: 1})

    again = start_worker()
    again.wait(lambda: again.entries("kept"), "the report")
    kept = again.entries("kept")[0]["kwargs"]
    assert kept["reason"] == "not_json"
    assert kept["body"] == "rubbish [redacted]"
