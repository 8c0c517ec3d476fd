"""The load: the producer's list, delivered at a rate through every door there is."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.exceptions import KombuError
from pydantic import SecretStr
from redis import RedisError

from tests.servers.workers import PARTNER_ID
from tests.survival.plan import Job
from worker.config.settings import GivenSettings
from worker.enqueue import Producer
from worker.errors import StoreUnavailable

TASK = "kplus.cancel_token"
QUEUE = "kplus.cancel"
FOREIGN = 4
"""Every so many jobs comes as a whole message alone, from a client that cannot see the table."""
SMALL = 30
"""Jobs; a smaller portion is over before a fault can meet it."""
BROKER_FAULTS = (KombuError, RedisError, OSError)
"""What a plain client raises where the broker is away, full or read-only."""


class Load:
    """
    Delivers jobs in two streams, and remembers whom each was accepted by.

    One stream is a producer of ours: the row first, then a hint. The other is a plain
    Celery client: whole messages for jobs of its own, and more deliveries of the others',
    whole ones and hints. A job counts as accepted once its row was committed or the broker
    took its message; what nobody took is offered again.
    """

    def __init__(
        self, jobs: Sequence[Job], *, broker: str, database: str, home: Path, rate: float
    ) -> None:
        self.jobs = list(jobs)
        self.accepted: dict[str, str] = {}
        self.rate = rate
        self.delivered = 0
        """Jobs that the plain client has gone through."""
        self._failed: list[BaseException] = []
        self._celery = Celery(broker=broker, set_as_current=False)
        self._celery.conf.broker_transport_options = {
            "socket_timeout": 2,
            "socket_connect_timeout": 2,
        }
        self._producer = Producer(
            GivenSettings(
                home=home,
                database_url=SecretStr(database),
                broker_url=SecretStr(broker),
                partner_id=PARTNER_ID,
            )
        )

    def close(self) -> None:
        """Close every connection."""
        pool: Any = self._celery.pool
        pool.force_close_all()
        self._celery.close()
        self._producer.close()

    def rounds(self, most: int) -> Iterator[list[Job]]:
        """Yield the list in so many portions, in fewer where they would be small."""
        return self.portions(max(1, min(most, len(self.jobs) // SMALL)))

    def portions(self, count: int) -> Iterator[list[Job]]:
        """Yield the list in so many portions."""
        # Scenarios add jobs of their own meanwhile, and deliver those themselves.
        jobs = tuple(self.jobs)
        size = -(-len(jobs) // count)
        for start in range(0, len(jobs), size):
            yield list(jobs[start : start + size])

    @contextmanager
    def delivering(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Deliver while the block runs; at its end all of them are delivered."""
        streams = [
            threading.Thread(target=self._stream, args=(jobs, deliver), daemon=True)
            for deliver in (self._store, self._send)
        ]
        for stream in streams:
            stream.start()
        try:
            yield
        finally:
            for stream in streams:
                stream.join()
        if self._failed:
            raise self._failed[0]

    def deliver(self, jobs: Sequence[Job]) -> None:
        """Deliver these jobs; return when that is done."""
        with self.delivering(jobs):
            pass

    def offer_again(self) -> None:
        """Offer once more what nobody took."""
        self.deliver([job for job in self.jobs if job.uid not in self.accepted])

    def send_again(self, stored: Callable[[str], bool]) -> int:
        """
        Send the whole messages again whose job is not stored; return how many.

        A client that cannot see the table does so for every order it hears nothing of.
        """
        silent = [
            job
            for job in self.jobs
            if self.accepted.get(job.uid) == "broker" and not stored(job.uid)
        ]
        for job in silent:
            self._send_whole(job)
        return len(silent)

    def answers_remote_control(self) -> bool:
        """Say whether a worker answers a ping by remote control."""
        return bool(self._celery.control.ping(timeout=2, limit=1))

    def message(self, job: Job, *, whole: bool) -> dict[str, str]:
        """Return the keyword arguments of a message."""
        hint = {"partnerTxnUid": job.uid}
        if not whole:
            return hint
        order = {"partnerId": PARTNER_ID, "tokenId": job.token, "reference1": job.reference1}
        return {**hint, **order}

    def send(self, job: Job, *, whole: bool, times: int = 1) -> None:
        """Send messages for a job, through the plain client. Raises what Celery raises."""
        kwargs = self.message(job, whole=whole)
        with self._celery.producer_or_acquire() as producer:
            for _ in range(times):
                self._celery.send_task(
                    TASK, kwargs=kwargs, queue=QUEUE, retry=False, producer=producer
                )

    def store(self, job: Job) -> None:
        """Enqueue one job through our own producer. Raises what that raises."""
        self._producer.enqueue(
            {"partner_txn_uid": job.uid, "token_id": job.token, "reference1": job.reference1}
        )
        self.accepted[job.uid] = "table"

    def _stream(self, jobs: Sequence[Job], deliver: Callable[[int, Job], None]) -> None:
        began = time.monotonic()
        idle = threading.Event()
        try:
            for number, job in enumerate(jobs):
                idle.wait(max(0.0, began + number / self.rate - time.monotonic()))
                deliver(int(job.uid[4:]), job)
                if deliver == self._send:
                    self.delivered += 1
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for the stream
            self._failed.append(error)

    def _store(self, number: int, job: Job) -> None:
        if number % FOREIGN:
            with suppress(StoreUnavailable):
                self.store(job)

    def _send(self, number: int, job: Job) -> None:
        """Send two whole messages of a foreign job; of the others none, a whole one or a hint."""
        kind = number % FOREIGN
        if kind == 0:
            self._send_whole(job, times=2)
        elif kind == 1:
            self._send_whole(job)
        elif kind == 2 and job.uid in self.accepted:
            with suppress(*BROKER_FAULTS):
                self.send(job, whole=False)

    def _send_whole(self, job: Job, *, times: int = 1) -> None:
        with suppress(*BROKER_FAULTS):
            self.send(job, whole=True, times=times)
            self.accepted.setdefault(job.uid, "broker")
