"""The broker: whether a worker can do there what it does, and whether no message is lost."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

from worker.broker.embedded.server import find_program
from worker.broker.transports import is_rabbitmq
from worker.config.settings import Settings
from worker.doctor.asking import NO_SUCH_DATABASE, ask
from worker.doctor.finding import Finding, Severity, failed
from worker.doctor.rabbitmq import judge_rabbitmq, try_rabbitmq
from worker.doctor.redis import evicts, judge_redis, read_info, redis_version, try_redis
from worker.errors import BrokerUnavailable, SettingsError
from worker.runtime import broker_url

CONFIGURED: Final = (
    "check KPLUS_BROKER_URL, and that the server runs; jobs wait in the table meanwhile"
)


def broker(settings: Settings) -> Iterator[Finding]:
    """Yield what is found about the broker."""
    if settings.broker_url is None:
        yield _embedded(settings)
        return
    url = settings.broker_url.get_secret_value()
    try:
        if is_rabbitmq(url):
            yield judge_rabbitmq(ask(settings, try_rabbitmq))
            return
        known = () if settings.message is None else (settings.message.queue,)
        report = ask(settings, lambda connection: try_redis(connection, but=known))
        yield from judge_redis(report, user=_user(url))
    except SettingsError as error:
        yield failed("broker", str(error), "mend KPLUS_BROKER_URL", severity=Severity.UNUSABLE)
    except BrokerUnavailable as error:
        yield failed("broker", str(error), CONFIGURED, severity=Severity.UNREACHABLE)


def refuse_a_forgetful_broker(settings: Settings) -> None:
    """
    Raise `SettingsError` if the broker evicts messages, which may be an order's only copy.

    A broker that does not answer raises nothing: a worker waits for it.
    """
    if settings.broker_url is None or is_rabbitmq(settings.broker_url.get_secret_value()):
        return
    try:
        finding = evicts(ask(settings, read_info))
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
        info = ask(settings, read_info)
    except BrokerUnavailable as error:
        text = f"embedded, does not answer: {error}"
        remedy = "start a worker (`kplus-cancel worker`): it runs the broker"
        return failed("broker", text, remedy, severity=Severity.UNREACHABLE)
    return Finding("broker", f"embedded, {redis_version(info)}; for one machine only")


def _user(url: str) -> str:
    """Return the name under which Redis knows us."""
    return unquote(urlsplit(url.partition(";")[0]).username or "") or "default"
