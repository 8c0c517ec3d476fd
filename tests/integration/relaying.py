"""What the tests of the way back begin with: jobs that end, and couriers that tell of it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.integration.stock import CANCELLED, Clock, accept, claimed, settle
from tests.servers.receivers import OLD_SECRET, SECRET, Receiver
from worker.config.destinations import Webhook
from worker.domain.destinations import Destination
from worker.outbox.relay import Relay, deliver
from worker.outbox.webhook import WebhookSender
from worker.store import Store

BOTH = tuple(Destination)


@dataclass
class Telling:
    """An order system, and the courier that tells it; its clock is the store's."""

    store: Store
    receiver: Receiver
    clock: Clock
    context: Relay

    def round(self) -> None:
        deliver(self.context)

    def rounds(self, *, hours: float = 0.0, seconds: float = 0.0, every: float = 60) -> None:
        """Make rounds for so long, each minute or as said; at least those that are due now."""
        until = self.clock.now + timedelta(hours=hours, seconds=seconds)
        while True:
            self.round()
            if self.clock.now >= until:
                return
            self.clock.forward(every)

    def events(self, **which: Any) -> list[dict[str, Any]]:
        return self.store.outbox.events(**which, most=1000)

    def states(self, uid: str) -> list[str]:
        return [row["state"] for row in self.events(uid=uid)]


def poster(receiver: Receiver, clock: Clock, *, deadline: float = 50.0) -> WebhookSender:
    secrets = (SECRET, OLD_SECRET)
    webhook = Webhook(receiver.url, secrets, None, timedelta(seconds=deadline))
    return WebhookSender(webhook, clock=clock)


def courier(store: Store, way: Any, **limits: Any) -> Relay:
    usual: dict[str, Any] = {"max_attempts": 100, "max_age": timedelta(days=3)}
    return Relay(
        store=store,
        destination=Destination.WEBHOOK,
        start=way.start,
        within=way.within,
        random=lambda: 0.5,
        **usual | limits,
    )


def end(store: Store, *uids: str) -> None:
    """Let new jobs end as cancelled."""
    for uid in uids:
        accept(store, uid)
        settle(store, claimed(store, uid), CANCELLED)
