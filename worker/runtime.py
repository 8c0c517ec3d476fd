"""
What one process works with, put together from the settings in one place.

Nothing here is made before it is asked for, and nothing survives a fork: engines and
HTTP clients that cross one corrupt both sides (measured).
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from celery import Celery

from worker.bank import Bank
from worker.broker.app import create_app
from worker.broker.embedded import known_url
from worker.broker.hints import Hints
from worker.config.dialect_file import load_dialect
from worker.config.reload import LiveRoster
from worker.config.settings import Settings
from worker.domain.backoff import Backoff
from worker.domain.decision import Policy
from worker.domain.destinations import Destination
from worker.domain.maintenance import Maintenance
from worker.domain.partners import Roster
from worker.forksafe import once
from worker.jobs.attempt import AttemptContext
from worker.jobs.sweep import HINT_AGAIN_AFTER, SweepContext
from worker.outbox.celery_message import CeleryPublisher
from worker.outbox.relay import Relay
from worker.outbox.webhook import WebhookSender
from worker.store import Cooldown, Store, open_database
from worker.telemetry.log import get_logger
from worker.telemetry.redaction import protect

log = get_logger(__name__)

HINTS_PER_SLOT = 8
"""How many jobs the sweep keeps on the conveyor for each bank call that may run at once."""
BLOCKED = 4
"""How many times the conveyor's high-water mark blocks the queue: others filled it (ADR 15)."""
SOON = timedelta(seconds=2)
"""After so long a hint counts as lost in a blocked queue."""
SPARE_CONNECTIONS = 6
"""Database connections beside those of the bank calls: sweep, couriers, consumer, a late rescue."""


class Runtime:
    """The parts of one process, each made at first use."""

    def __init__(self, settings: Settings, *, stopping: Callable[[], bool] = bool) -> None:
        self.settings = settings
        self.stopping = stopping
        self._maintenance = Maintenance.read(settings.maintenance or "")
        self._live = LiveRoster(settings.roster)
        protect(settings.outcome_secrets())
        self._shown: dict[str, str] = {}

    @property
    def roster(self) -> Roster:
        """The configured partners, as their file says now."""
        return self._live()

    def follow_roster(self) -> None:
        """
        Let partners go on whose credentials have changed since the call before.

        At the first call all count as changed: a restart may have brought new ones.
        """
        shown = {name: partner.credentials for name, partner in self.roster.items()}
        changed = {name: now for name, now in shown.items() if self._shown.get(name) != now}
        if changed:
            for name in self.store.partners.resume_changed(changed):
                log.info("partner_resumed", partner_id=name, reason="its credentials have changed")
        self._shown = shown

    @once
    def store(self) -> Store:
        """The store."""
        settings = self.settings
        cooldown = Cooldown(
            base=timedelta(seconds=settings.cooldown_base_seconds),
            cap=timedelta(seconds=settings.cooldown_cap_seconds),
        )
        connections = settings.concurrency + SPARE_CONNECTIONS
        database = open_database(settings.database, connections=connections)
        return Store(
            database,
            cooldown=cooldown,
            inquiry_uids=settings.inquiry_uids,
            destinations=settings.destinations,
        )

    @once
    def policy(self) -> Policy:
        """How long and how often to try, and how to read the bank."""
        settings = self.settings
        return Policy(
            dialect=load_dialect(settings.dialect_file),
            backoff=Backoff(
                base=timedelta(seconds=settings.backoff_base_seconds),
                cap=timedelta(seconds=settings.backoff_cap_seconds),
            ),
            inquiry_backoff=Backoff(
                base=timedelta(seconds=settings.inquiry_base_seconds),
                cap=timedelta(
                    seconds=max(settings.backoff_cap_seconds, settings.inquiry_base_seconds)
                ),
            ),
            max_attempts=settings.max_attempts,
            max_age=timedelta(seconds=settings.max_age_seconds),
        )

    @once
    def bank(self) -> Bank:
        """The bank."""
        return Bank(
            deadline=self.settings.deadline,
            request_dt=self.settings.request_dt,
            connections=self.settings.concurrency,
        )

    @once
    def attempt_context(self) -> AttemptContext:
        """What an attempt works with."""
        return AttemptContext(
            store=self.store,
            bank=self.bank,
            roster=lambda: self.roster,
            policy=self.policy,
            lease=self.settings.lease,
            deadline=self.settings.deadline,
            chance=random.random,
            closed=self.is_closed,
        )

    def is_closed(self) -> bool:
        """Say whether no call may begin: the bank rests, or this worker stops. Others still end."""
        return self.stopping() or self._maintenance.closed_until(datetime.now(UTC)) is not None

    @property
    def high_water(self) -> int:
        """How many jobs may be on the conveyor at once."""
        return self.settings.concurrency * HINTS_PER_SLOT

    def sweep(self, hints: Hints | None) -> SweepContext:
        """
        Return what a pass of the sweep works with.

        Without hints none are given: jobs are stamped as they are hinted at, so a stamp
        that no message follows would only delay them.
        """
        blocked = hints is not None and hints.waiting > BLOCKED * self.high_water
        return SweepContext(
            store=self.store,
            policy=self.policy,
            high_water=self.high_water if hints else 0,
            hint=partial(hints.send, aside=blocked) if hints else _nobody,
            hint_again_after=SOON if blocked else HINT_AGAIN_AFTER,
            chance=random.random,
            closed=self.is_closed,
            roster=lambda: self.roster,
        )

    def relay(self, destination: Destination, way: WebhookSender | CeleryPublisher) -> Relay:
        """Return what a round of telling the order system works with."""
        return Relay(
            store=self.store,
            destination=destination,
            send=way.send,
            within=way.within,
            max_attempts=self.settings.outcome_max_attempts,
            max_age=timedelta(seconds=self.settings.outcome_max_age_seconds),
            chance=random.random,
        )

    def close(self) -> None:
        """Close what was opened."""
        if "bank" in self.__dict__:
            self.bank.close()
        if "store" in self.__dict__:
            self.store.close()


def _nobody(_uids: list[str]) -> None:
    """Hint at nothing."""


def broker_url(settings: Settings) -> str | None:
    """Return the broker's URL; None where the embedded one has never run."""
    if settings.broker_url is not None:
        return settings.broker_url.get_secret_value()
    return known_url(settings.home)


def create_celery(settings: Settings, *, url: str, **options: object) -> Celery:
    """Return the Celery application on a broker, as the settings have it."""
    return create_app(
        broker_url=url,
        lease=settings.lease,
        concurrency=settings.concurrency,
        **options,  # type: ignore[arg-type]
    )
