"""The parts of the demo: home, broker, bank, and a worker process that can be killed."""

import os
import secrets
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from celery import Celery
from pydantic import SecretStr

from worker.broker.app import CANCEL_QUEUE, CANCEL_TOKEN
from worker.broker.embedded import EmbeddedBroker, ensure
from worker.broker.embedded.guarded import Guarded, Order
from worker.config.settings import GivenSettings, Settings
from worker.config.sources import PREFIX
from worker.config.sqlite_file import sqlite_url
from worker.demo.plan import PARTNER
from worker.domain import orders
from worker.enqueue import Producer
from worker.errors import BrokerUnavailable
from worker.private import private_file
from worker.runtime import create_celery
from worker.sandbox import Sandbox
from worker.store import Database, Store, open_database
from worker.store.schema.migrate import upgrade

DATABASE = "demo.db"
WORKER = (sys.executable, "-m", "worker", "worker")
"""The command of the worker that is killed."""
# Seconds instead of the minutes of production; the rules are the same.
TIMES: dict[str, Any] = {
    "deadline_seconds": 3,
    "lease_seconds": 5,
    "backoff_base_seconds": 0.2,
    "backoff_cap_seconds": 1,
    "cooldown_base_seconds": 0.2,
    "cooldown_cap_seconds": 0.5,
    "sweep_seconds": 0.2,
    "max_attempts": 5,
    "concurrency": 8,
}


@dataclass
class Stage:
    """The running parts of the demo."""

    settings: Settings
    bank: Sandbox
    broker: EmbeddedBroker
    store: Store
    producer: Producer
    celery: Celery
    workers: list[Guarded] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """Where the workers write their log."""
        return self.settings.home / "worker.log"

    def start_worker(self) -> int:
        """Start a worker process; return its pid."""
        os.close(private_file(self.log))
        options = {
            "cwd": str(self.settings.home),
            "env": _environment(self.settings, self.broker.url),
        }
        self.workers.append(Guarded(Order(WORKER, options=options), log=self.log))
        return self._pid()

    def kill_worker(self) -> int:
        """Kill the worker as `kill -9` does; return its pid."""
        pid = self._pid()
        os.kill(pid, signal.SIGKILL)
        self.workers[-1].wait()
        return pid

    def _pid(self) -> int:
        pid = self.workers[-1].pid
        if pid is None:
            raise BrokerUnavailable(f"the worker does not start; its log is {self.log}")
        return pid

    def deliver(self, order: orders.Order, *, whole: bool) -> None:
        """Send another message for an order: a whole one, as other producers send, or a hint."""
        message = {"partnerTxnUid": order.partner_txn_uid}
        if whole:
            message |= {
                "tokenId": order.token_id,
                "reference1": order.reference1,
                "partnerId": PARTNER,
            }
        self.celery.send_task(CANCEL_TOKEN, kwargs=message, queue=CANCEL_QUEUE)

    def queued(self) -> int:
        """Return the number of messages that no worker has taken."""
        with self.celery.connection_for_read() as connection:
            channel: Any = connection.default_channel
            return int(channel.client.llen(CANCEL_QUEUE))

    def stop_workers(self) -> None:
        """Stop the workers that still run: with SIGTERM, then by killing them."""
        for worker in self.workers:
            worker.end()


@contextmanager
def stage(home: Path) -> Iterator[Stage]:
    """Start everything in an empty home; stop everything at the end, whatever happens."""
    secret = secrets.token_urlsafe(24)
    with ExitStack() as stack:
        bank = stack.enter_context(Sandbox(secrets={PARTNER: secret}))
        settings = GivenSettings(
            home=home,
            database_url=SecretStr(sqlite_url(home / DATABASE)),
            bank_url=bank.cancel_url,
            partner_id=PARTNER,
            partner_secret=SecretStr(secret),
            **TIMES,
        )
        broker = ensure(home)
        stack.callback(broker.stop)
        database = open_database(settings.database)
        stack.callback(database.close)
        upgrade(database, home=home)
        parts = _assemble(settings, bank, broker, database)
        stack.callback(parts.producer.close)
        stack.callback(parts.stop_workers)
        yield parts


def _assemble(
    settings: Settings, bank: Sandbox, broker: EmbeddedBroker, database: Database
) -> Stage:
    return Stage(
        settings=settings,
        bank=bank,
        broker=broker,
        store=Store(database),
        producer=Producer(settings),
        celery=create_celery(settings, url=broker.url),
    )


def _environment(settings: Settings, broker_url: str) -> dict[str, str]:
    """Return the worker's environment, without the caller's own settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    values = settings.model_dump(exclude_none=True, exclude_defaults=True)
    values["broker_url"] = broker_url
    for name, value in values.items():
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        own[f"{PREFIX}{name.upper()}"] = str(plain)
    return own
