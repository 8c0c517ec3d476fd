"""The broker: whether it answers, is recent enough, and keeps every message."""

import threading
from datetime import timedelta
from typing import Any, Final

from worker.broker.app import CANCEL_QUEUE, HOUSEKEEPING_QUEUE
from worker.broker.embedded.server import find_program
from worker.broker.queues import QUORUM, kind_of
from worker.config.settings import Settings
from worker.doctor.finding import Finding, Severity, failed
from worker.errors import BrokerUnavailable, SettingsError
from worker.runtime import broker_url, create_celery
from worker.telemetry.redaction import redact

OLDEST = (6, 2)
OLDEST_RABBITMQ = (3, 10)
KINDS: Final = "queues"
"""The key under which `_rabbitmq` adds our queues, by name and kind."""
ANSWER_TIMEOUT = timedelta(seconds=3)
"""The longest wait for one answer of the broker."""
NO_SUCH_DATABASE: Final = "DB index is out of range"
"""What Redis answers where it has fewer databases than the URL's number."""
CONFIGURED = "check KPLUS_BROKER_URL, and that the server runs; jobs wait in the table meanwhile"


def broker(settings: Settings) -> Finding:
    """Check the broker."""
    if settings.broker_url is None:
        return _embedded(settings)
    try:
        info = _ask(settings)
    except SettingsError as error:
        return failed("broker", str(error), "mend KPLUS_BROKER_URL", severity=Severity.UNUSABLE)
    except BrokerUnavailable as error:
        return failed("broker", str(error), CONFIGURED, severity=Severity.UNREACHABLE)
    return _judge_rabbitmq(info) if KINDS in info else _judge(info)


def refuse_a_forgetful_broker(settings: Settings) -> None:
    """
    Raise `SettingsError` if the broker evicts messages, which may be an order's only copy.

    A broker that does not answer raises nothing: a worker waits for it.
    """
    if settings.broker_url is None:
        return
    try:
        finding = _evicts(_ask(settings))
    except BrokerUnavailable as error:
        if NO_SUCH_DATABASE in str(error):
            raise SettingsError(f"KPLUS_BROKER_URL: {error}: choose another database") from None
        return
    if finding is not None:
        raise SettingsError(f"{finding.check}: {finding.text}: {finding.remedy}")


def _embedded(settings: Settings) -> Finding:
    try:
        program = find_program()
    except BrokerUnavailable as error:
        text, _, remedy = str(error).partition(": ")
        return failed("broker", text, remedy, severity=Severity.UNREACHABLE)
    if broker_url(settings) is None:
        return Finding("broker", f"embedded, starts with the worker ({program.name})")
    try:
        info = _ask(settings)
    except BrokerUnavailable as error:
        text = f"embedded, does not answer: {error}"
        remedy = "start a worker (`kplus-cancel worker`): it runs the broker"
        return failed("broker", text, remedy, severity=Severity.UNREACHABLE)
    return Finding("broker", f"embedded, {_version(info)}; for one machine only")


def _ask(settings: Settings) -> dict[str, Any]:
    """Return what the broker reports about itself. Raises `BrokerUnavailable`, `SettingsError`."""
    url = broker_url(settings) or ""
    replies: list[dict[str, Any] | Exception] = []
    asking = threading.Thread(target=_ask_server, args=(settings, url, replies), daemon=True)
    # The client looks names up without a timeout.
    asking.start()
    asking.join(3 * ANSWER_TIMEOUT.total_seconds())
    if not replies:
        raise BrokerUnavailable("the broker does not answer in time")
    if isinstance(replies[0], SettingsError):
        raise replies[0]
    if isinstance(replies[0], Exception):
        text = redact(str(replies[0])).partition("\n")[0] or type(replies[0]).__name__
        raise BrokerUnavailable(f"the broker cannot be used: {text}")
    return replies[0]


def _ask_server(settings: Settings, url: str, replies: list[dict[str, Any] | Exception]) -> None:
    """Ask through the worker's own transport, with its TLS, sentinels and timeouts."""
    try:
        app = create_celery(settings, url=url, timeout=ANSWER_TIMEOUT)
        with app.connection_for_write() as connection:
            connection.connect()
            client = getattr(connection.channel(), "client", None)
            replies.append(dict(client.info()) if client is not None else _rabbitmq(connection))
    except Exception as error:  # noqa: BLE001 - any error is the finding
        replies.append(error)


def _rabbitmq(connection: Any) -> dict[str, Any]:
    names = (CANCEL_QUEUE, HOUSEKEEPING_QUEUE)
    kinds = {name: kind_of(name, connection) for name in names}
    return {**connection.connection.server_properties, KINDS: kinds}


def _judge_rabbitmq(info: dict[str, Any]) -> Finding:
    version = str(info.get("version", "of unknown version"))
    text, kinds = f"{info.get('product', 'RabbitMQ')} {version}", info[KINDS]
    if _numbers(version) < OLDEST_RABBITMQ:
        return failed("broker", f"{text}: too old", "use RabbitMQ 3.10 or later")
    for name, kind in kinds.items():
        if kind not in {None, QUORUM}:
            remedy = "delete it once it is empty: the next worker makes it one"
            return failed("broker", f"{text}: {name} is no quorum queue", remedy)
    if None in kinds.values():
        return Finding("broker", f"{text}, the first worker makes the queues")
    return Finding("broker", f"{text}, its queues are quorum queues")


def _judge(info: dict[str, Any]) -> Finding:
    text = _version(info)
    if _numbers(str(info.get("redis_version", ""))) < OLDEST:
        return failed("broker", f"{text}: too old", "use Redis 6.2, Valkey 7.2, or later")
    return _evicts(info) or Finding("broker", f"{text}, {_keeps(info)}")


def _evicts(info: dict[str, Any]) -> Finding | None:
    """Return a finding if a full broker evicts queues: `volatile-…` policies do not."""
    policy = str(info.get("maxmemory_policy", ""))
    if not policy.startswith("allkeys"):
        return None
    remedy = "set maxmemory-policy noeviction: a full broker must say so"
    return failed("broker", f"{_version(info)}, throws messages away when full ({policy})", remedy)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _version(info: dict[str, Any]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', 'of unknown version')}"


def _keeps(info: dict[str, Any]) -> str:
    """Return what a restart loses: hints at most, which the sweep sends again."""
    if info.get("aof_enabled"):
        return "keeps its messages in an append-only file"
    return "has no append-only file: a restart loses hints, which the sweep sends again"
