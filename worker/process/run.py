"""One worker process: its broker, its tasks and its threads."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from socket import gethostname
from typing import Any

from celery import Celery
from celery.bootsteps import StartStopStep
from celery.signals import setup_logging

from worker.broker.embedded import EmbeddedBroker, ensure
from worker.broker.hints import PAUSE_OF_SWEEP_SECONDS, Hints
from worker.broker.prints import silence
from worker.config.settings import Settings
from worker.domain.destinations import Destination
from worker.forksafe import PerProcess
from worker.jobs.sweep import sweep
from worker.outbox.celery_message import CeleryPublisher
from worker.outbox.relay import deliver
from worker.outbox.webhook import WebhookSender
from worker.private import make_private
from worker.process import hangup
from worker.process.heartbeat import Heartbeat
from worker.process.liveness import SWEEP, Failure, Liveness
from worker.process.loop import Loop, step
from worker.process.rests import Rests
from worker.process.shutdown import SETTLE_TIME, Shutdown
from worker.process.tasks import register
from worker.process.watchdog import Watchdog
from worker.runtime import Runtime, broker_url, create_celery
from worker.telemetry.log import configure_logging, get_logger
from worker.telemetry.prints import printed_lines_logged

log = get_logger(__name__)

RELAY_STOP_SECONDS = 1.0
"""How long a stop waits for a delivery under way. Without its result the event is sent again."""


def run_worker(
    settings: Settings,
    *,
    pool: str = "threads",
    level: str = "INFO",
    hostname: str | None = None,
    quiet: bool = True,
    **program: Any,
) -> int:
    """
    Work until SIGTERM, which lets calls under way end. A second one, or SIGQUIT, ends at once.

    Return the exit code: 1 after an error that Celery cannot recover from. `program` are further
    arguments of Celery's worker: `pidfile`, `optimization`, `no_color`. Raises `SettingsError` if
    the dialect cannot be read, `StoreUnavailable` if the database is not ready and
    `BrokerUnavailable` if the embedded broker cannot be started, before anything is taken from a
    queue.
    """
    configure_logging(level=level)
    # Celery's warning about root has six lines. As a log event it is one line.
    logging.captureWarnings(capture=True)
    silence()
    # The banner is for people. In a file it would be the only lines that are no events.
    program["quiet"] = quiet or not sys.stdout.isatty()
    with printed_lines_logged():
        return _run(settings, pool=pool, level=level, hostname=hostname, **program)


def _run(settings: Settings, *, pool: str, level: str, hostname: str | None, **program: Any) -> int:
    shutdown = Shutdown(within=settings.deadline + SETTLE_TIME)
    shutdown.listen()
    hangup.listen()
    runtime = PerProcess(lambda: Runtime(settings, stopping=shutdown))
    make_private(settings.home)
    broker = None if settings.broker_url is not None else ensure(settings.home)
    try:
        _check_ready(runtime)
        app = build_worker(settings, runtime, pool=pool, broker=broker, end_in_order=shutdown.fail)
        worker = app.Worker(
            # Gossip cannot tell two workers of one name on one host apart.
            hostname=hostname or f"kplus-cancel-{os.getpid()}@{gethostname()}",
            loglevel=level,
            **program,
        )
        worker.start()
        exit_code = shutdown.exit_code(worker.exitcode)
        shutdown.tell_end(exit_code)
        return exit_code
    finally:
        runtime().close()
        if broker is not None:
            broker.stop()


def build_worker(
    settings: Settings,
    runtime: PerProcess[Runtime],
    *,
    pool: str,
    broker: EmbeddedBroker | None,
    end_in_order: Callable[[], None],
) -> Celery:
    """Return the Celery application of a worker, with its tasks and threads."""
    url = broker.url if broker is not None else broker_url(settings)
    app = create_celery(settings, url=url or "", pool=pool)
    liveness = Liveness()
    register(app, runtime, liveness)
    hints, rests = Hints(app, pause=PAUSE_OF_SWEEP_SECONDS), Rests()

    def sweep_once() -> None:
        if broker is not None:
            broker.renew()
        runtime().follow_roster()
        rests.see(runtime().store.partners.rests())
        rests.see_bank(runtime().closed_until())
        sweep(runtime().sweep(hints))

    def after(failure: Failure | None) -> None:
        liveness.sweep_ended(queued=hints.count_waiting(), failure=failure)

    def pause() -> float:
        return runtime().sweep_pause(hints)

    def sweeper() -> Loop:
        return Loop(SWEEP, sweep_once, pause=pause, after=after)

    def watchdog() -> Watchdog:
        heartbeat, longest = Heartbeat(settings.home), settings.stall
        return Watchdog(liveness, heartbeat, stall_timeout=longest, end_in_order=end_in_order)

    app.steps["worker"] |= {step("kplus-sweep", sweeper), step("kplus-watchdog", watchdog)}
    app.steps["worker"] |= {*_relays(settings, runtime, app, liveness)}
    return app


def _relays(
    settings: Settings, runtime: PerProcess[Runtime], app: Celery, liveness: Liveness
) -> Iterator[type[StartStopStep]]:
    """Yield a thread for each destination of outcomes: a slow receiver delays nothing else."""
    senders: dict[Destination, WebhookSender | CeleryPublisher] = {}

    def pause() -> float:
        return settings.sweep_seconds

    if settings.webhook is not None:
        senders[Destination.WEBHOOK] = WebhookSender(settings.webhook)
    if settings.message is not None:
        senders[Destination.MESSAGE] = CeleryPublisher(app, settings.message)
    for name, sender in senders.items():

        def deliver_once(
            name: Destination = name, sender: WebhookSender | CeleryPublisher = sender
        ) -> None:
            deliver(runtime().relay(name, sender))

        def relay(name: Destination = name, run_round: Callable[[], None] = deliver_once) -> Loop:
            return Loop(
                f"{name}-relay",
                run_round,
                pause=pause,
                after=partial(liveness.pass_ended, f"{name}-relay"),
                stop_timeout=RELAY_STOP_SECONDS,
            )

        yield step(f"kplus-{name}-relay", relay)


def _check_ready(runtime: PerProcess[Runtime]) -> None:
    """
    Read every file and open the database, so that a fault ends the start and not each pass.

    Partners whose credentials have changed are resumed.
    """
    parts = runtime()
    _ = parts.policy
    parts.follow_roster()
    if unused := parts.settings.unused_proxies(parts.roster.values()):
        log.warning("proxy_not_used", reason=unused)
    log.info(
        "worker_starts",
        partners=sorted(parts.roster),
        database=parts.store.database.engine.url.render_as_string(hide_password=True),
        concurrency=parts.settings.concurrency,
        **({"proxy": proxy.name} if (proxy := parts.settings.proxy) is not None else {}),
    )


@setup_logging.connect
def _logging_is_set_up(**_kwargs: object) -> None:
    """Keep Celery from replacing our log handlers, which redact."""
