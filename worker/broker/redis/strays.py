"""Messages of ours in Redis that no worker reads, and other programs in the same database."""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import NoPermissionError, ResponseError

from worker.broker.app import CANCEL_QUEUE, HOUSEKEEPING_QUEUE
from worker.broker.keys import PRIORITY_STEPS

DEFAULT_QUEUE: Final = "celery"
"""Where Celery sends a task whose producer names no queue."""
NEIGHBOURS: Final = ("_kombu.binding.celery", "_kombu.binding.celery.pidbox")
"""What the worker of almost every other Celery program makes, and ours does not."""
LOOKED_AT: Final = 200
"""So many messages of the default queue are read, the oldest."""
SCANS: Final = 100
PER_SCAN: Final = 1000
"""In a database of more keys than this product not all are seen."""
_OURS: Final = re.compile(
    rf"(?<![A-Za-z0-9])({re.escape(CANCEL_QUEUE)}|{re.escape(HOUSEKEEPING_QUEUE)})(?![A-Za-z0-9_])"
)


@dataclass(frozen=True, slots=True)
class Stray:
    """A list of messages that no worker reads. Of the default queue only ours are counted."""

    name: str
    messages: int
    is_default_queue: bool = False


def stray_messages(channel: Any, *, but: Collection[str] = ()) -> Iterator[Stray]:
    """Yield what a producer sent past our queues, as far as this user may see it."""
    with channel.conn_or_acquire() as client:
        for look in (_in_other_lists, _in_default_queue):
            try:
                yield from look(channel, client, but)
            except NoPermissionError:
                continue


def has_neighbour(channel: Any) -> bool:
    """Say whether another Celery program uses this database; False if that cannot be seen."""
    with channel.conn_or_acquire() as client:
        try:
            return bool(client.exists(*NEIGHBOURS))
        except NoPermissionError:
            return False


def _in_other_lists(channel: Any, client: Any, but: Collection[str]) -> Iterator[Stray]:
    read = {
        channel._q_for_pri(queue, step)  # noqa: SLF001 -- the lists that kombu reads
        for queue in (CANCEL_QUEUE, HOUSEKEEPING_QUEUE)
        for step in PRIORITY_STEPS
    }
    for raw in sorted(_names(client)):
        name = raw.decode(errors="backslashreplace")
        if name not in {*read, *but} and _OURS.search(name) and client.type(raw) == b"list":
            yield Stray(name, int(client.llen(raw)))


def _names(client: Any) -> set[bytes]:
    found: set[bytes] = set()
    cursor = 0
    for _ in range(SCANS):
        cursor, names = client.scan(cursor, match="*kplus.*", count=PER_SCAN)
        found.update(names)
        if not cursor:
            break
    return found


def _in_default_queue(_channel: Any, client: Any, but: Collection[str]) -> Iterator[Stray]:
    if DEFAULT_QUEUE in but:
        return
    try:
        items = client.lrange(DEFAULT_QUEUE, -LOOKED_AT, -1)
    except NoPermissionError:
        raise
    except ResponseError:
        return  # no list, so no queue
    if ours := sum(map(_is_ours, items)):
        yield Stray(DEFAULT_QUEUE, ours, is_default_queue=True)


def _is_ours(item: bytes) -> bool:
    try:
        task = json.loads(item)["headers"]["task"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return isinstance(task, str) and task.startswith("kplus.")
