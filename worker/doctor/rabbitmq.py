"""RabbitMQ as a broker: the rights of our user, its version, and the kind of our queues."""

from dataclasses import dataclass
from typing import Any, Final

from amqp.exceptions import AccessRefused, NotAllowed

from worker.broker.app import CANCEL_QUEUE, HOUSEKEEPING_QUEUE
from worker.broker.queues import QUORUM
from worker.broker.rabbit_probe import missing_right, try_as_a_worker
from worker.doctor.asking import ANSWER_TIMEOUT
from worker.doctor.finding import Finding, failed
from worker.telemetry.about import BROKERS
from worker.telemetry.redaction import redact

OLDEST: Final = (3, 10)
RIGHTS: Final = (
    r"run `rabbitmqctl set_permissions -p VHOST USER '^kplus\.' '^(kplus\.|amq\.default$)' "
    rf"'^kplus\.'` ({BROKERS})"
)
BLOCKED: Final = "its memory or disk is short, and it takes no message until there is room"


@dataclass(frozen=True, slots=True)
class Report:
    """What RabbitMQ reports about itself, and what came of the probe."""

    properties: dict[str, Any]
    kinds: dict[str, str | None]
    missing: str = ""
    refusal: str = ""
    blocked: bool = False


def try_rabbitmq(connection: Any) -> Report:
    """Try what a worker does. A refused login raises."""
    connection.connect()
    properties = dict(connection.connection.server_properties)
    names = (CANCEL_QUEUE, HOUSEKEEPING_QUEUE)
    try:
        kinds = try_as_a_worker(connection, names, timeout=ANSWER_TIMEOUT.total_seconds())
    except (AccessRefused, NotAllowed) as error:
        return Report(properties, {}, missing=missing_right(error), refusal=str(error))
    except TimeoutError:
        return Report(properties, {}, blocked=True)
    return Report(properties, kinds)


def judge_rabbitmq(report: Report) -> Finding:
    """Return what is wrong, or that all is well."""
    version = str(report.properties.get("version", "of unknown version"))
    text = f"{report.properties.get('product', 'RabbitMQ')} {version}"
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        return failed("broker", f"{text}: too old", "use RabbitMQ 3.10 or later")
    if report.refusal:
        lacks = f"the user lacks the right to {report.missing}: {redact(report.refusal)}"
        return failed("broker", f"{text}: {lacks}", RIGHTS)
    if report.blocked:
        return failed("broker", f"{text} confirms no message", f"see its alarms: {BLOCKED}")
    for name, kind in report.kinds.items():
        if kind not in {None, QUORUM}:
            remedy = "delete it once it is empty: the next worker makes it one"
            return failed("broker", f"{text}: {name} is no quorum queue", remedy)
    if None in report.kinds.values():
        return Finding("broker", f"{text}, the first worker makes the queues")
    return Finding("broker", f"{text}, its queues are quorum queues")
