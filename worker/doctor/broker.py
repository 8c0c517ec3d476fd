"""The broker: whether it answers, is recent enough, and throws no message away."""

import threading
from datetime import timedelta
from typing import Any, Final

from worker.broker.app import CANCEL_QUEUE, HOUSEKEEPING_QUEUE
from worker.broker.embedded.server import find_program
from worker.broker.queues import QUORUM, kind_of
from worker.config.settings import Settings
from worker.doctor.finding import Finding, Weight, wrong
from worker.errors import BrokerUnavailable, SettingsError
from worker.runtime import broker_url, create_celery
from worker.telemetry.redaction import redact

OLDEST = (6, 2)
OLDEST_RABBITMQ = (3, 10)
KINDS: Final = "queues"
"""What RabbitMQ does not say about itself, and is found out: its queues, by name and kind."""
PATIENCE = timedelta(seconds=3)
"""How long one answer may take."""
CONFIGURED = "check KPLUS_BROKER_URL, and that the server runs; jobs wait in the table meanwhile"


def broker(settings: Settings) -> Finding:
    """Tell how the broker does."""
    if settings.broker_url is None:
        return _embedded(settings)
    try:
        info = _ask(settings)
    except SettingsError as error:
        return wrong("broker", str(error), "mend KPLUS_BROKER_URL", weight=Weight.UNUSABLE)
    except BrokerUnavailable as error:
        return wrong("broker", str(error), CONFIGURED, weight=Weight.UNREACHABLE)
    return _judge_rabbitmq(info) if KINDS in info else _judge(info)


def refuse_a_forgetful_broker(settings: Settings) -> None:
    """
    Raise `SettingsError` where the broker throws away messages that are an order's only copy.

    One that does not answer is no reason: a worker waits for its broker.
    """
    if settings.broker_url is None:
        return
    try:
        finding = _evicting(_ask(settings))
    except BrokerUnavailable:
        return
    if finding is not None:
        raise SettingsError(f"{finding.check}: {finding.text}: {finding.remedy}")


def _embedded(settings: Settings) -> Finding:
    try:
        program = find_program()
    except BrokerUnavailable as error:
        text, _, remedy = str(error).partition(": ")
        return wrong("broker", text, remedy, weight=Weight.UNREACHABLE)
    if broker_url(settings) is None:
        return Finding("broker", f"embedded, starts with the worker ({program.name})")
    try:
        info = _ask(settings)
    except BrokerUnavailable as error:
        text = f"embedded, does not answer: {error}"
        remedy = "start a worker (`kplus-cancel worker`): it runs the broker"
        return wrong("broker", text, remedy, weight=Weight.UNREACHABLE)
    return Finding("broker", f"embedded, {_version(info)}; for one machine only")


def _ask(settings: Settings) -> dict[str, Any]:
    """Return what the broker says about itself; raise `BrokerUnavailable`."""
    url = broker_url(settings) or ""
    heard: list[dict[str, Any] | Exception] = []
    asking = threading.Thread(target=_converse, args=(settings, url, heard), daemon=True)
    # Names are looked up without a timeout, which no argument of the client bounds.
    asking.start()
    asking.join(3 * PATIENCE.total_seconds())
    if not heard:
        raise BrokerUnavailable("the broker does not answer in time")
    if isinstance(heard[0], SettingsError):
        raise heard[0]
    if isinstance(heard[0], Exception):
        text = redact(str(heard[0])).partition("\n")[0] or type(heard[0]).__name__
        raise BrokerUnavailable(f"the broker cannot be used: {text}")
    return heard[0]


def _converse(settings: Settings, url: str, heard: list[dict[str, Any] | Exception]) -> None:
    """Ask through the worker's own transport: its TLS, its sentinels, its patience."""
    try:
        app = create_celery(settings, url=url, timeout=PATIENCE)
        with app.connection_for_write() as connection:
            connection.connect()
            client = getattr(connection.channel(), "client", None)
            heard.append(dict(client.info()) if client is not None else _rabbitmq(connection))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        heard.append(error)


def _rabbitmq(connection: Any) -> dict[str, Any]:
    names = (CANCEL_QUEUE, HOUSEKEEPING_QUEUE)
    kinds = {name: kind_of(name, connection) for name in names}
    return {**connection.connection.server_properties, KINDS: kinds}


def _judge_rabbitmq(info: dict[str, Any]) -> Finding:
    version = str(info.get("version", "of unknown version"))
    told, kinds = f"{info.get('product', 'RabbitMQ')} {version}", info[KINDS]
    if _numbers(version) < OLDEST_RABBITMQ:
        return wrong("broker", f"{told}: too old", "use RabbitMQ 3.10 or later")
    for name, kind in kinds.items():
        if kind not in {None, QUORUM}:
            remedy = "delete it once it is empty: the next worker makes it one"
            return wrong("broker", f"{told}: {name} is no quorum queue", remedy)
    if None in kinds.values():
        return Finding("broker", f"{told}, the first worker makes the queues")
    return Finding("broker", f"{told}, its queues are quorum queues")


def _judge(info: dict[str, Any]) -> Finding:
    told = _version(info)
    if _numbers(str(info.get("redis_version", ""))) < OLDEST:
        return wrong("broker", f"{told}: too old", "use Redis 6.2, Valkey 7.2, or later")
    return _evicting(info) or Finding("broker", f"{told}, {_keeps(info)}")


def _evicting(info: dict[str, Any]) -> Finding | None:
    """Tell of a policy that reaches queues, which have no time to live: the `volatile-…` do not."""
    policy = str(info.get("maxmemory_policy", ""))
    if not policy.startswith("allkeys"):
        return None
    remedy = "set maxmemory-policy noeviction: a full broker must say so"
    return wrong("broker", f"{_version(info)}, throws messages away when full ({policy})", remedy)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _version(info: dict[str, Any]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', 'of unknown version')}"


def _keeps(info: dict[str, Any]) -> str:
    """Say what a restart costs: hints only, which the sweep sends again."""
    if info.get("aof_enabled"):
        return "keeps its messages in an append-only file"
    return "has no append-only file: a restart loses hints, which the sweep sends again"
