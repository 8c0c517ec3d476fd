"""
What `celery -A worker …` accepts: a ruling for every option and every command of Celery.

Celery's options can take away what this worker promises. One that would is refused with the
reason, none is ignored in silence. docs/how-to/run-with-celery.md shows these tables.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from worker.broker.app import CANCEL_QUEUE, HOUSEKEEPING_QUEUE

LARGEST_CONCURRENCY: Final = 1024
POOLS: Final = {"threads": "threads", "prefork": "prefork", "processes": "prefork"}
"""Celery's names of a pool, and ours."""


class Ruling(StrEnum):
    """What becomes of an option or a command."""

    ACCEPTED = "accepted"
    NO_EFFECT = "accepted, no effect"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Rule:
    """
    The ruling on an option or a command, and in `text` its effect, or the reason and the remedy.

    `accepts` says which values are accepted, and `values` names them.
    """

    ruling: Ruling
    text: str
    values: str = ""
    accepts: Callable[[Any], bool] = lambda _value: True

    def complaint(self, value: object = None) -> str | None:
        """Return why the option is refused with this value, or None if it is accepted."""
        if self.ruling is not Ruling.REFUSED and self.accepts(value):
            return None
        only = f"only {self.values} is accepted: " if self.values else "refused: "
        return only + self.text


def _accepted(text: str) -> Rule:
    return Rule(Ruling.ACCEPTED, text)


def _no_effect(text: str) -> Rule:
    return Rule(Ruling.NO_EFFECT, text)


def _refused(text: str) -> Rule:
    return Rule(Ruling.REFUSED, text)


def _only(values: str, accepts: Callable[[Any], bool], text: str) -> Rule:
    return Rule(Ruling.ACCEPTED, text, values, accepts)


def _is_concurrency(value: object) -> bool:
    return isinstance(value, int) and 1 <= value <= LARGEST_CONCURRENCY


def _are_both_queues(value: object) -> bool:
    return isinstance(value, list) and set(value) == {CANCEL_QUEUE, HOUSEKEEPING_QUEUE}


NO_BEAT: Final = "every worker runs the sweep itself; its pause is KPLUS_SWEEP_SECONDS"
SUPERVISOR: Final = "run the worker under a supervisor (systemd, Kubernetes)"
ONE_LIMIT: Final = (
    "it would end a call of the bank half-way; KPLUS_DEADLINE_SECONDS bounds a call in either pool"
)
NO_NEW_CHILDREN: Final = (
    "after an outage of the broker a worker that replaces its children left messages waiting for "
    "more than a minute (measured, 4 of 4 runs; 0 of 4 without); "
    "let the supervisor limit the memory"
)

OPTIONS: Final[Mapping[str, Rule]] = {
    "hostname": _accepted("the worker's name; without it kplus-cancel-PID@HOST"),
    "detach": _refused(f"the log would be lost; {SUPERVISOR}"),
    "statedb": _refused("a revoked task is a lost order; nothing is revoked here"),
    "loglevel": _accepted("the log's level; without it INFO"),
    "optimization": _accepted("how prefork chooses a child"),
    "prefetch_multiplier": _only(
        "1",
        lambda value: value == 1,
        "a worker takes as many messages as it has slots, and leaves the others to other workers",
    ),
    "disable_prefetch": _refused(
        "a worker takes no more messages than it has slots; set --concurrency"
    ),
    "concurrency": _only(
        f"1 to {LARGEST_CONCURRENCY}",
        _is_concurrency,
        "bank calls at once in this process; without it KPLUS_CONCURRENCY",
    ),
    "pool": _only(
        "threads, prefork or processes",
        POOLS.__contains__,
        "the deadline, the stop and the recovery are proven on these two pools "
        "(processes is prefork); without it threads",
    ),
    "task_events": _refused(
        "no events are sent, so that an outage of the broker holds up no job; "
        "use the log, or `kplus-cancel stats`"
    ),
    "time_limit": _refused(ONE_LIMIT),
    "soft_time_limit": _refused(ONE_LIMIT),
    "max_tasks_per_child": _refused(NO_NEW_CHILDREN),
    "pool_start_method": _only(
        "fork", lambda value: value == "fork", "a spawned child would not find the tasks"
    ),
    "max_memory_per_child": _refused(NO_NEW_CHILDREN),
    "purge": _refused(
        "a message can be the only copy of an order; a worker accepts or rejects each, and "
        "`kplus-cancel rejected` lists the rejected ones"
    ),
    "queues": _only(
        f"{CANCEL_QUEUE},{HOUSEKEEPING_QUEUE}",
        _are_both_queues,
        "a worker serves both queues, for the second keeps what the first cannot deliver",
    ),
    "exclude_queues": _refused("a worker serves both queues; run fewer workers instead"),
    "include": _refused("other tasks need a worker of their own, or they take slots from jobs"),
    "without_gossip": _refused(
        "without gossip a worker with busy slots does not notice that Redis went away; leave it "
        "out (on RabbitMQ, where it is not needed, there is none)"
    ),
    "without_mingle": _no_effect("there is no mingle step"),
    "without_heartbeat": _no_effect("no heartbeat events are sent"),
    "heartbeat_interval": _no_effect("no heartbeat events are sent"),
    "autoscale": _refused(
        "the slots at the bank and the connections follow one fixed size; use --concurrency, and "
        "start or stop workers"
    ),
    "beat": _refused(NO_BEAT),
    "schedule_filename": _refused(NO_BEAT),
    "scheduler": _refused(NO_BEAT),
    "logfile": _refused("the log goes to standard error, redacted; redirect it there"),
    "pidfile": _accepted("where the process id is written"),
    "uid": _accepted("the user to become before the worker starts"),
    "gid": _accepted("the group to become before the worker starts"),
    "umask": _refused(f"Celery applies it only with --detach; {SUPERVISOR}"),
    "executable": _refused(f"Celery applies it only with --detach; {SUPERVISOR}"),
}
"""Every option of `celery worker`, by the name of its parameter."""

GLOBAL_OPTIONS: Final[Mapping[str, Rule]] = {
    "app": _accepted("this application"),
    "broker": _refused("the broker is KPLUS_BROKER_URL"),
    "result_backend": _refused("no results are kept; `kplus-cancel show UID` shows a job"),
    "loader": _refused("the settings are KPLUS_… in the environment or `.env`"),
    "config": _refused("the settings are KPLUS_… in the environment or `.env`"),
    "workdir": _accepted("the folder to work in; `.env` and KPLUS_HOME are found from there"),
    "no_color": _accepted("no colors"),
    "quiet": _accepted("no banner"),
    "version": _accepted("Celery's version"),
    "skip_checks": _no_effect("there is no Django here"),
}
"""Every option before the command."""

NO_CONTROL: Final = (
    "remote control is off, for it shows arguments, revokes and shuts down for anyone who can "
    "write to the broker"
)

COMMANDS: Final[Mapping[str, Rule]] = {
    "worker": _accepted("the same worker as `kplus-cancel worker`"),
    "report": _accepted("versions and settings, without secrets"),
    "call": _accepted("sends one message, by the settings"),
    "shell": _accepted("a Python shell with `app`"),
    "list": _accepted("the bindings, on RabbitMQ"),
    "upgrade": _accepted("rewrites a settings file of Celery; there is none here"),
    "inspect": _refused(f"{NO_CONTROL}; use `kplus-cancel doctor` and `kplus-cancel stats`"),
    "status": _refused(f"{NO_CONTROL}; use `kplus-cancel doctor --worker`"),
    "control": _refused(f"{NO_CONTROL}; stop a worker by SIGTERM, a partner by `partners pause`"),
    "beat": _refused(NO_BEAT),
    "events": _refused("no events are sent; use the log, or `kplus-cancel stats`"),
    "purge": _refused(
        "a message can be the only copy of an order; `kplus-cancel rejected` lists what could not "
        "become a job"
    ),
    "migrate": _refused(
        "let a worker empty the old broker, then change KPLUS_BROKER_URL; the sweep sends the "
        "hints again"
    ),
    "amqp": _refused(
        "it can delete queues and messages; look with `redis-cli` or `rabbitmqctl`, or use "
        "`kplus-cancel doctor`"
    ),
    "result": _refused("no results are kept; `kplus-cancel show UID` shows a job"),
    "graph": _refused("it asks by remote control, which is off"),
    "logtool": _refused("the log is JSON, one event a line; read it with `jq`"),
    "multi": _refused(f"it detaches workers, whose log would be lost; {SUPERVISOR}"),
}
"""Every command of Celery 5.7. Commands of extensions are refused too."""

UNKNOWN_COMMAND: Final = _refused("it is an extension of Celery, and was not tested with this one")
UNKNOWN_OPTION: Final = _refused("it was not tested with this worker")
