"""
Messages of ours under the keys that all Celery programs share: a worker of before left them there.

The versions before held their messages in kombu's own keys. One that is killed leaves them, and
of the workers beside it only those of its version give them back. So these do, for our queues
alone: whatever else is held there belongs to another program.
"""

import json
from time import time
from typing import Any, Final

from redis.exceptions import NoPermissionError, ResponseError

from worker.broker.app import CANCEL_QUEUE, HOUSEKEEPING_QUEUE
from worker.broker.keys import SHARED_INDEX, SHARED_UNACKED
from worker.telemetry.log import get_logger

QUEUES: Final = frozenset({CANCEL_QUEUE, HOUSEKEEPING_QUEUE})
PAGE: Final = 200
"""So many are looked at in one pass; the others in the next."""
MOST_KNOWN: Final = 20_000
"""So many of another program's are remembered, so that they are read only once."""
WRONG_TYPE: Final = "WRONGTYPE"

# A transaction would begin anew whenever another program's worker holds or acknowledges anything.
GIVE_BACK: Final = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('RPUSH', KEYS[3], ARGV[3])
return 1
"""

log = get_logger(__name__)


class LeftBehind:
    """Gives them back to their queues."""

    def __init__(self) -> None:
        self._foreign: set[bytes] = set()
        self._offset = 0
        self._may_look = True

    def restore(self, channel: Any, *, older_than: float) -> None:
        """Look at one page of what is held since longer than so many seconds."""
        if not self._may_look:
            return
        with channel.conn_or_acquire() as client:
            try:
                self._restore_page(channel, client, older_than)
            except ResponseError as error:
                # A user for our own keys alone, or keys of another meaning: none of ours is there.
                if not isinstance(error, NoPermissionError) and WRONG_TYPE not in str(error):
                    raise
                self._may_look = False

    def _restore_page(self, channel: Any, client: Any, older_than: float) -> None:
        page = client.zrange(
            SHARED_INDEX, 0, time() - older_than, byscore=True, offset=self._offset, num=PAGE
        )
        self._offset = self._offset + PAGE if len(page) == PAGE else 0
        tags = [tag for tag in page if tag not in self._foreign]
        if len(self._foreign) > MOST_KNOWN:
            self._foreign.clear()
        if not tags:
            return
        with client.pipeline(transaction=False) as pipe:
            for tag in tags:
                pipe.hget(SHARED_UNACKED, tag)
            found = pipe.execute()
        for tag, held in zip(tags, found, strict=True):
            payload = None if held is None else ours(held)
            if payload is None:
                self._foreign.add(tag)
            else:
                self._give_back(channel, client, tag, held, payload)

    def _give_back(self, channel: Any, client: Any, tag: bytes, held: bytes, payload: Any) -> None:
        queue = payload["properties"]["delivery_info"]["routing_key"]
        priority = channel._get_message_priority(payload, reverse=False)  # noqa: SLF001 -- kombu's
        key = channel._q_for_pri(queue, priority)  # noqa: SLF001 -- the list that its workers read
        keys = [SHARED_UNACKED, SHARED_INDEX, key]
        script = client.register_script(GIVE_BACK)
        if script(keys=keys, args=[tag, held, json.dumps(payload)], client=client):
            log.warning("message_of_an_old_worker_given_back", queue=queue)


def ours(held: bytes) -> dict[str, Any] | None:
    """Return a held message of ours as it is delivered again, or None if it is another's."""
    try:
        payload, exchange, queue = json.loads(held)
    except (ValueError, TypeError, RecursionError):
        return None
    if exchange or not isinstance(queue, str) or not isinstance(payload, dict):
        return None
    properties = payload.get("properties")
    info = properties.get("delivery_info") if isinstance(properties, dict) else None
    if queue not in QUEUES or not isinstance(info, dict) or info.get("routing_key") != queue:
        return None
    info["redelivered"] = True
    return payload
