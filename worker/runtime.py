"""
The parts of one process, put together from the settings in one place.

Each part is made at first use, and none survives a fork: an engine or an HTTP client that is
used in parent and child corrupts both (measured).
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from celery import Celery

from worker.bank import Bank
from worker.broker.app import BROKER_TIMEOUT, create_app, time_limit
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
from worker.jobs.context import AttemptContext
from worker.jobs.run import RunLimits, Runs
from worker.jobs.sweep import HINT_AGAIN_AFTER, SweepContext
from worker.outbox.celery_message import CeleryPublisher
from worker.outbox.relay import Relay
from worker.outbox.webhook import WebhookSender
from worker.store import Cooldown, RejectedLimits, Store, open_database
from worker.telemetry.log import get_logger

log = get_logger(__name__)

HINTS_PER_SLOT = 8
"""How many hinted jobs may wait for each bank call that may run at once."""
RUNS_PER_SLOT = 2
"""How many of them may open runs: one that begins now, and one for when the run has ended."""
MOST_SLOTS = 2048
"""No more slots of all workers are counted: each worker reads so much of an index at each pass."""
SLOTS_STAY = 0.8
"""This share of the slots that were seen counts at the next pass, though they are not seen."""
BLOCKED_FACTOR = 4
"""From so many times the high-water mark on, the queue counts as blocked by others (ADR 15)."""
BLOCKED_HINT_AGAIN_AFTER = timedelta(seconds=0.5)
"""In a blocked queue a hint counts as lost after so long: it waits behind what others sent."""
BLOCKED_PASSES = 4
"""So many passes of the sweep are made then in the time of one: they alone hint in time."""
SPARE_CONNECTIONS = 6
"""Database connections beyond those of the bank calls: sweep, relays, consumer, a late rescue."""
CALLS_PER_CONNECTION = 2
"""How many bank calls share a connection that is kept: a call needs it for milliseconds."""
LEAST_KEPT = 4


class Runtime:
    """The parts of one process, each made at first use."""

    def __init__(self, settings: Settings, *, stopping: Callable[[], bool] = bool) -> None:
        self.settings = settings
        self.stopping = stopping
        self._maintenance = Maintenance.read(settings.maintenance or "")
        self._live_roster = LiveRoster(settings.roster)
        self._credentials: dict[str, str] = {}
        self._slots_before = settings.concurrency

    @property
    def roster(self) -> Roster:
        """The configured partners, as their file lists them now."""
        return self._live_roster()

    def follow_roster(self) -> None:
        """
        Resume partners whose credentials have changed since the last call.

        At the first call all count as changed: a restart may have brought new ones.
        """
        current = {name: partner.credentials for name, partner in self.roster.items()}
        known = self._credentials
        changed = {name: now for name, now in current.items() if known.get(name) != now}
        if changed:
            for name in self.store.partners.resume_changed(changed):
                log.info("partner_resumed", partner_id=name, reason="its credentials have changed")
        self._credentials = current

    @once
    def store(self) -> Store:
        """The store."""
        settings = self.settings
        cooldown = Cooldown(
            base=timedelta(seconds=settings.cooldown_base_seconds),
            cap=timedelta(seconds=settings.cooldown_cap_seconds),
        )
        database = open_database(
            settings.database,
            schema=settings.database_schema,
            connections=settings.concurrency + SPARE_CONNECTIONS,
            kept=max(LEAST_KEPT, settings.concurrency // CALLS_PER_CONNECTION),
        )
        return Store(
            database,
            cooldown=cooldown,
            inquiry_uids=settings.inquiry_uids,
            destinations=settings.destinations,
            rejected=RejectedLimits(settings.rejected_messages, settings.rejected_bytes),
        )

    @once
    def policy(self) -> Policy:
        """How long and how often to try, and how to read the bank's answers."""
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
            max_retry_after=timedelta(seconds=settings.max_retry_after_seconds),
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
        """What an attempt needs."""
        return AttemptContext(
            store=self.store,
            bank=self.bank,
            roster=lambda: self.roster,
            policy=self.policy,
            lease=self.settings.lease,
            deadline=self.settings.deadline,
            random=random.random,
            closed=self.is_closed,
        )

    @once
    def runs(self) -> Runs:
        """The runs of this process."""
        limits = RunLimits(self.settings.run_jobs, self.settings.run)
        return Runs(self.attempt_context, limits)

    def closed_until(self) -> datetime | None:
        """Return when the bank's maintenance ends, or None if the bank is open."""
        return self._maintenance.closed_until(datetime.now(UTC))

    def is_closed(self) -> bool:
        """Say whether no call may begin: the bank is in maintenance, or this worker stops."""
        return self.stopping() or self.closed_until() is not None

    @property
    def runs_waiting(self) -> int:
        """How many hints of a producer may open runs at once."""
        return self.settings.concurrency * RUNS_PER_SLOT

    def _slots(self) -> int:
        """
        Return how many bank calls all workers make at once, as far as this one can see.

        As many as are under way, and at least its own: where more workers share the backlog their
        calls show it, and more hints may wait for them. It falls slowly: calls come in waves, and
        what waits for workers that are gone still waits.
        """
        under_way = self.store.backlog.in_flight(lease=self.settings.lease, most=MOST_SLOTS)
        own, before = self.settings.concurrency, int(SLOTS_STAY * self._slots_before)
        self._slots_before = max(own, under_way, before)
        return self._slots_before

    def sweep(self, hints: Hints | None) -> SweepContext:
        """
        Return what a pass of the sweep needs.

        Without `hints` no job is marked as hinted: a mark without a message would only delay it.
        """
        may_hint = hints is not None and not hints.is_paused and not self.is_closed()
        slots = self._slots() if may_hint else self.settings.concurrency
        blocked = hints is not None and self._is_blocked(hints, slots)
        return SweepContext(
            store=self.store,
            policy=self.policy,
            # While the broker is down a stamp would be taken back in the same pass.
            high_water=slots * HINTS_PER_SLOT if may_hint else 0,
            runs=slots * RUNS_PER_SLOT,
            hint=partial(hints.send, second_queue=blocked) if hints else _send_nothing,
            hint_again_after=BLOCKED_HINT_AGAIN_AFTER if blocked else HINT_AGAIN_AFTER,
            random=random.random,
            closed=self.is_closed,
            roster=lambda: self.roster,
        )

    def sweep_pause(self, hints: Hints) -> float:
        """Return the seconds until the next pass: fewer while others' messages block the queue."""
        blocked = self._is_blocked(hints, self._slots_before)
        return self.settings.sweep_seconds / (BLOCKED_PASSES if blocked else 1)

    def _is_blocked(self, hints: Hints, slots: int) -> bool:
        return hints.waiting > BLOCKED_FACTOR * slots * HINTS_PER_SLOT

    def relay(self, destination: Destination, sender: WebhookSender | CeleryPublisher) -> Relay:
        """Return what a round of delivery to the order system needs."""
        return Relay(
            store=self.store,
            destination=destination,
            start=sender.start,
            within=sender.within,
            max_attempts=self.settings.outcome_max_attempts,
            max_age=timedelta(seconds=self.settings.outcome_max_age_seconds),
            random=random.random,
            stopping=self.stopping,
        )

    def close(self) -> None:
        """Close the parts that were made."""
        if "bank" in self.__dict__:
            self.bank.close()
        if "store" in self.__dict__:
            self.store.close()


def _send_nothing(uids: list[str]) -> list[str]:
    """Take the place of `Hints.send` without a broker."""
    return uids


def broker_url(settings: Settings) -> str | None:
    """Return the broker's URL, or None if it is the embedded one and does not run."""
    if settings.broker_url is not None:
        return settings.broker_url.get_secret_value()
    return known_url(settings.home)


def create_celery(
    settings: Settings, *, url: str, pool: str = "threads", timeout: timedelta = BROKER_TIMEOUT
) -> Celery:
    """Return the Celery application on a broker, by the settings."""
    app = create_app(
        broker_url=url,
        lease=settings.lease,
        concurrency=settings.concurrency,
        pool=pool,
        timeout=timeout,
    )
    app.conf.update(time_limit(lease=settings.lease, run=settings.run))
    return app
