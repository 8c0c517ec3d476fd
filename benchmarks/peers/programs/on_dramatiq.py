"""The job as a Dramatiq actor on Redis; Dramatiq acknowledges when the actor has ended."""

import sys

import dramatiq
import redis
from dramatiq import cli
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.job.given import Given
from benchmarks.peers.job.in_threads import ThreadedJob
from benchmarks.peers.job.program import at_once, ready, run

GIVEN = Given.read()
QUEUE = "dramatiq:default"


class Doing(dramatiq.Middleware):
    """Holds the job of the worker process."""

    job: ThreadedJob

    def after_worker_boot(self, *_: object) -> None:
        """Open its connections, after the fork."""
        self.job = ThreadedJob(GIVEN)
        ready()


doing = Doing()
broker = RedisBroker(url=GIVEN.broker_url)
broker.add_middleware(doing)
dramatiq.set_broker(broker)


@dramatiq.actor
def cancel(uid: str) -> None:
    """Cancel one token."""
    doing.job.do(uid)


def work() -> None:
    """Work as the `dramatiq` command does, in one worker process."""
    words = ["--processes", "1", "--threads", str(GIVEN.concurrency), f"{__spec__.name}:broker"]
    sys.exit(cli.main(cli.make_argument_parser().parse_args(words)))


def fill(uids: list[str]) -> float:
    """Write the messages aside, then move them: first the bodies, then the queue of their ids."""
    aside = RedisBroker(url=GIVEN.aside_url)
    with redis.Redis.from_url(GIVEN.aside_url) as client:
        client.flushdb()
        for uid in uids:
            aside.enqueue(cancel.message(uid))
        number = GIVEN.broker_url.rpartition("/")[2]
        assert client.move(f"{QUEUE}.msgs", int(number))
        return at_once(lambda: client.move(QUEUE, int(number)))


if __name__ == "__main__":
    run(work, fill)
