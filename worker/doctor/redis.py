"""Redis as a broker: the rights of our user, room, and messages that no worker reads."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from redis.exceptions import NoPermissionError, ResponseError

from worker.broker.redis.probe import MissingRight, missing_right, missing_rights, send_a_probe
from worker.broker.redis.strays import Stray, has_neighbour, stray_messages
from worker.doctor.finding import Finding, failed
from worker.telemetry.about import BROKERS
from worker.telemetry.printable import printable
from worker.telemetry.redaction import redact

OLDEST: Final = (6, 2)
CONNECTIONS: Final = 12
"""What one worker process opens on Redis (docs/how-to/brokers.md)."""
_REMEDIES: Final = {
    "READONLY": "it is a replica: name the master, or use sentinel://",
    "OOM": "give it more memory, or find what fills it",
    "MISCONF": "its disk is full, or it may not write there: see its log",
    "NOREPLICAS": "it wants replicas that are not there (min-replicas-to-write)",
}


@dataclass(slots=True)
class Report:
    """What Redis reports about itself, and what came of the probe."""

    info: dict[str, Any] = field(default_factory=dict)
    missing: list[MissingRight] = field(default_factory=list)
    refusal: str = ""
    strays: list[Stray] = field(default_factory=list)
    neighbour: bool = False


def read_info(connection: Any) -> dict[str, Any]:
    """Return what Redis says of itself; nothing if this user may not ask."""
    try:
        return dict(connection.default_channel.client.info())
    except NoPermissionError:
        return {}


def try_redis(connection: Any, *, but: Collection[str]) -> Report:
    """Try what a worker does. `but`: lists that are known not to be its own."""
    report = Report()
    try:
        connection.connect()
        channel = connection.default_channel
        report.info = read_info(connection)
        report.missing = missing_rights(channel)
        report.strays = list(stray_messages(channel, but=but))
        report.neighbour = has_neighbour(channel)
        if not report.missing:
            send_a_probe(channel)
    except NoPermissionError as error:
        report.missing = [missing_right(error)]
    except ResponseError as error:
        report.refusal = str(error)
    return report


def judge_redis(report: Report, *, user: str) -> Iterator[Finding]:
    """Yield what is wrong, or that all is well."""
    text = redis_version(report.info)
    if report.missing:
        yield _without_rights(text, report.missing, user)
    elif report.refusal:
        yield failed("broker", f"{text}, takes no message: {redact(report.refusal)}", _cure(report))
    elif report.info and _numbers(str(report.info.get("redis_version", ""))) < OLDEST:
        yield failed("broker", f"{text}: too old", "use Redis 6.2, Valkey 7.2, or later")
    else:
        yield evicts(report.info) or _crowded(report.info) or _well(text, report)
    for stray in report.strays:
        yield _stray(stray)


def evicts(info: dict[str, Any]) -> Finding | None:
    """Return a finding if a full broker evicts queues: `volatile-…` policies do not."""
    policy = str(info.get("maxmemory_policy", ""))
    if not policy.startswith("allkeys"):
        return None
    remedy = "set maxmemory-policy noeviction: a full broker must say so"
    text = f"{redis_version(info)}, throws messages away when full ({policy})"
    return failed("broker", text, remedy)


def redis_version(info: dict[str, Any]) -> str:
    """Return the name and version of the server."""
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', 'of unknown version')}"


def _without_rights(text: str, missing: list[MissingRight], user: str) -> Finding:
    what = ", ".join(each.what for each in missing)
    words = " ".join(each.word for each in missing)
    remedy = f"run `ACL SETUSER {user} {words}`; all that a worker needs is in {BROKERS}"
    return failed("broker", f"{text}: the user {user} may not {what}", remedy)


def _cure(report: Report) -> str:
    for word, remedy in _REMEDIES.items():
        if report.refusal.startswith(word) or f"{word} " in report.refusal:
            return remedy
    if re.search("read.?only", report.refusal):
        return _REMEDIES["READONLY"]
    if "maxmemory" in report.refusal:
        return _REMEDIES["OOM"]
    return "see the server's log; jobs wait in the table meanwhile"


def _crowded(info: dict[str, Any]) -> Finding | None:
    most, now = info.get("maxclients"), info.get("connected_clients")
    if not isinstance(most, int) or not isinstance(now, int) or most - now >= CONNECTIONS:
        return None
    text = f"{redis_version(info)} has room for {most - now} more connections (maxclients {most})"
    return failed("broker", text, f"raise maxclients: each worker process opens {CONNECTIONS}")


def _well(text: str, report: Report) -> Finding:
    if not report.info:
        text = f"{text} (the user may not ask: +info), takes messages"
    else:
        text = f"{text}, {_keeps(report.info)}"
    if report.neighbour:
        text = f"{text}; another Celery program uses this database too ({BROKERS})"
    return Finding("broker", text)


def _keeps(info: dict[str, Any]) -> str:
    """Return what a restart loses: hints at most, which the sweep sends again."""
    if info.get("aof_enabled"):
        return "keeps its messages in an append-only file"
    return "has no append-only file: a restart loses hints, which the sweep sends again"


def _stray(stray: Stray) -> Finding:
    name, count = printable(stray.name), stray.messages
    wait = "message waits" if count == 1 else "messages wait"
    if stray.is_default_queue:
        text = f"{count} {wait} in `{name}`, the queue of another program"
        remedy = 'a producer leaves out queue="kplus.cancel": set it there, and send them again'
        return failed("messages", text, remedy)
    text = f"{count} {wait} in `{name}`, which no worker reads"
    remedy = f"a producer sets global_keyprefix or priority_steps, or mistypes the queue: {BROKERS}"
    return failed("messages", text, remedy)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
