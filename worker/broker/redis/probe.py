"""
What a worker does on Redis, tried with the worker's own user. Nothing is left behind.

The commands are queued in a transaction that is never executed: Redis checks the rights of each
as it comes. Then one message is put into the queue and taken out again, in one step that nobody
can come between.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import ExecAbortError, NoPermissionError, ResponseError

from worker.broker.app import CANCEL_QUEUE, HOUSEKEEPING_QUEUE
from worker.broker.keys import (
    EVENTS,
    PRIORITY_STEPS,
    UNACKED,
    UNACKED_INDEX,
    UNACKED_MUTEX,
)

QUEUES: Final = (CANCEL_QUEUE, HOUSEKEEPING_QUEUE)
PROBE: Final = "kplus-probe"
SCRIPT: Final = "return 1"
SEPARATOR: Final = "\x06\x16"
"""What kombu writes between a queue and a priority."""
LISTENS_TO: Final = "worker.*"
TABLES: Final = ("_kombu.binding.", "_kombu.binding_permanent.")
_COMMAND: Final = re.compile(r"run the '([^']+)' command")
_CHANNEL: Final = re.compile(r"\bchannel")

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MissingRight:
    """What the user may not do, and the word of `ACL SETUSER` that allows it."""

    what: str
    word: str


def missing_rights(channel: Any) -> list[MissingRight]:
    """Return what this user lacks for a worker. Raises what the server raises otherwise."""
    connection = channel.pool.get_connection()
    missing: list[MissingRight] = []
    try:
        missing += _refused(connection, ("SCRIPT", "LOAD", SCRIPT))
        missing += _refused(connection, ("WATCH", UNACKED), ("UNWATCH",))
        missing += _refused_in_transaction(connection, _commands(channel))
    finally:
        connection.disconnect()
        channel.pool.release(connection)
    return _each_once([*missing, *_listening(channel)])


def send_a_probe(channel: Any) -> None:
    """Put a message into the queue and take it out again, as one step."""
    with channel.conn_or_acquire() as client, client.pipeline() as pipe:
        pipe.rpush(CANCEL_QUEUE, PROBE)
        pipe.execute_command("BRPOP", CANCEL_QUEUE, "1")
        pipe.execute()


def missing_right(error: ResponseError, command: Command = ("", "")) -> MissingRight:
    """Return the right that a refusal names."""
    text, name = str(error), command[0].lower()
    if named := _COMMAND.search(text):
        return MissingRight(named[1].upper().replace("|", " "), f"+{named[1]}")
    if _CHANNEL.search(text):
        return MissingRight(f"{name.upper()} {command[1]}", f"&{command[1]}")
    if "key" in text:
        key = next((word for word in command[1:] if "kplus." in word), "")
        return MissingRight(f"{name.upper()} {key.split(SEPARATOR)[0]}", _pattern(key))
    word = f"{name}|{command[1].lower()}" if name in {"script", "client"} else name
    return MissingRight(name.upper(), f"+{word}")


def _refused(connection: Any, *commands: Command) -> Iterator[MissingRight]:
    for command in commands:
        connection.send_command(*command)
        try:
            connection.read_response()
        except NoPermissionError as error:
            yield missing_right(error, command)
        except ExecAbortError as error:
            # How Redis refuses the end of a transaction.
            if "permission" not in str(error):
                raise
            yield missing_right(error, command)


def _refused_in_transaction(connection: Any, commands: Iterator[Command]) -> Iterator[MissingRight]:
    """Queue commands in a transaction that ends with the connection: none is executed."""
    if refused := [*_refused(connection, ("MULTI",))]:
        yield from refused
        return  # a command would be executed at once
    yield from _refused(connection, ("EXEC",))
    # Whether it is in a transaction now depends on the server's version.
    connection.disconnect()
    yield from _refused(connection, ("MULTI",), *commands)


def _commands(channel: Any) -> Iterator[Command]:
    """Yield every command of a worker that takes part in a transaction, with its keys."""
    lists = [
        channel._q_for_pri(queue, step)  # noqa: SLF001 -- the lists that kombu reads
        for step in PRIORITY_STEPS
        for queue in QUEUES
    ]
    yield ("BRPOP", *lists, "1")
    yield ("EXISTS", *lists)
    for key in lists:
        yield from (("LPUSH", key, PROBE), ("RPUSH", key, PROBE), ("LLEN", key))
    yield ("DEL", f"{EVENTS}.{PROBE}")
    yield from (
        ("ZADD", UNACKED_INDEX, "0", PROBE),
        ("ZRANGE", UNACKED_INDEX, "0", "0"),
        ("ZREM", UNACKED_INDEX, PROBE),
        ("HSET", UNACKED, PROBE, PROBE),
        ("HGET", UNACKED, PROBE),
        ("HDEL", UNACKED, PROBE),
        ("SET", UNACKED_MUTEX, PROBE),
        ("GET", UNACKED_MUTEX),
        ("DEL", UNACKED_MUTEX),
        ("EVALSHA", "0" * 40, "1", UNACKED_MUTEX),
    )
    for table in TABLES:
        for name in (*QUEUES, EVENTS):
            yield from (("SADD", f"{table}{name}", PROBE), ("SREM", f"{table}{name}", PROBE))


def _listening(channel: Any) -> Iterator[MissingRight]:
    topic = channel._get_publish_topic(EVENTS, LISTENS_TO)  # noqa: SLF001 -- as kombu names it
    with channel.conn_or_acquire() as client, client.pubsub() as pubsub:
        for name, begin in ("PSUBSCRIBE", pubsub.psubscribe), ("PUNSUBSCRIBE", pubsub.punsubscribe):
            try:
                begin(topic)
                pubsub.parse_response(block=True)
            except NoPermissionError as error:
                yield missing_right(error, (name, topic))
                return
            except ResponseError as error:
                raise ResponseError(f"{name} {topic}: {error}") from error


def _each_once(missing: list[MissingRight]) -> list[MissingRight]:
    """Return the first refusal for each word: twenty lists may lack the same one."""
    return list({each.word: each for each in reversed(missing)}.values())[::-1]


def _pattern(key: str) -> str:
    for table in TABLES[::-1]:
        if key.startswith(table):
            return f"~{table}kplus.*"
    return "~kplus.*"
