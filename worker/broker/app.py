"""
The Celery application: names, queues and settings, the same for workers and producers.

The names are part of the contract. They never change, because messages outlive releases.
"""

from datetime import timedelta
from typing import Any, Final

from celery import Celery
from kombu import Connection

from worker.broker.address import broker_settings
from worker.broker.failover import Messaging
from worker.broker.keys import EVENTS
from worker.broker.queues import queue
from worker.broker.transports import is_rabbitmq

CANCEL_TOKEN: Final = "kplus.cancel_token"  # noqa: S105 -- a task's name, not a token
RECONCILE: Final = "kplus.reconcile"
KEEP_REJECTED: Final = "kplus.keep_rejected"

CANCEL_QUEUE: Final = "kplus.cancel"
HOUSEKEEPING_QUEUE: Final = "kplus.housekeeping"

CALLS_OF_A_SPARE_THREAD: Final = 4
"""One thread more for so many calls at once."""
BROKER_TIMEOUT: Final = timedelta(seconds=5)
"""How long a worker waits for one answer of the broker."""


def create_app(
    *,
    broker_url: str,
    lease: timedelta,
    concurrency: int = 16,
    pool: str = "threads",
    timeout: timedelta = BROKER_TIMEOUT,
) -> Celery:
    """
    Return the application. The caller registers its tasks.

    It does not connect yet. `timeout` bounds each wait for the broker: a producer that must
    answer soon passes a short one. Raises `SettingsError` if Celery would not run safely on
    the URL.
    """
    app = KplusCelery()
    app.conf.update(
        **celery_settings(
            broker_url=broker_url, lease=lease, concurrency=concurrency, pool=pool, timeout=timeout
        )
    )
    return app


def celery_settings(
    *,
    broker_url: str | None,
    lease: timedelta,
    concurrency: int = 16,
    pool: str = "threads",
    timeout: timedelta = BROKER_TIMEOUT,
) -> dict[str, Any]:
    """
    Return every setting of Celery. Without a URL those of the broker are left out.

    Raises `SettingsError` if Celery would not run safely on the URL.
    """
    broker = {} if broker_url is None else broker_settings(broker_url, lease=lease, timeout=timeout)
    quorum = broker_url is not None and is_rabbitmq(broker_url)
    return {**broker, **_routing(quorum=quorum), **_tasks(), **_worker(concurrency, pool)}


class KplusCelery(Celery):
    """
    Celery that connects where the settings say.

    In Celery itself CELERY_BROKER_URL in the environment replaces `broker_url`, and
    CELERY_RESULT_BACKEND the result backend. Both may belong to another program of the user.
    """

    backend_cls = "disabled"
    amqp_cls = Messaging  # type: ignore[assignment]  # a name or a class, says Celery

    def __init__(self) -> None:
        # The embedding program may use Celery itself. Its current app, its configuration module
        # and its Django settings must not change this one.
        super().__init__("kplus-cancel", loader="app", fixups=[], set_as_current=False)

    @property
    def kplus_broker_url(self) -> str:
        """The broker's URL. An item of `conf` is not replaced by the environment."""
        return str(self.conf["broker_url"])

    def connection(  # type: ignore[override]  # what is not named here is passed on
        self, hostname: str | None = None, **options: Any
    ) -> Connection:
        """Return a connection for either use, as in Celery."""
        return super().connection(hostname or self.kplus_broker_url, **options)

    def connection_for_read(self, url: str | None = None, **options: Any) -> Connection:
        """Return a connection for consuming, as in Celery."""
        return super().connection_for_read(url or self.kplus_broker_url, **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Connection:
        """Return a connection for producing, as in Celery."""
        return super().connection_for_write(url or self.kplus_broker_url, **options)

    def send_task(self, *args: Any, **options: Any) -> Any:
        """
        Send a task, as in Celery, and bound the wait for RabbitMQ's confirmation.

        Without a bound, a RabbitMQ that hangs would block the sweep for ever.
        """
        return super().send_task(
            *args, **{"confirm_timeout": self.conf.broker_connection_timeout} | options
        )


def time_limit(*, lease: timedelta, run: timedelta) -> dict[str, float]:
    """
    Return the setting that ends a child process whose task hangs; threads know no limit.

    A task begins no other job after `run`, and the last one may take nearly its whole lease. It is
    a hard limit: a soft one is an exception in the middle of a commit.
    """
    return {"task_time_limit": run.total_seconds() + 0.9 * lease.total_seconds()}


def _routing(*, quorum: bool) -> dict[str, Any]:
    """Two fixed queues: a mistyped name fails; it does not fill a queue that no worker reads."""
    queues = [queue(name, quorum=quorum) for name in (CANCEL_QUEUE, HOUSEKEEPING_QUEUE)]
    return {
        "task_queues": queues,
        "task_create_missing_queues": False,
        "task_default_queue": CANCEL_QUEUE,
        "task_default_exchange": CANCEL_QUEUE,
        "task_default_routing_key": CANCEL_QUEUE,
        "task_routes": {
            CANCEL_TOKEN: {"queue": CANCEL_QUEUE},
            RECONCILE: {"queue": HOUSEKEEPING_QUEUE},
            KEEP_REJECTED: {"queue": HOUSEKEEPING_QUEUE},
        },
        # Our own: the task to which `worker.broker.consumer` sends what no task can run.
        "kplus_keep_task": KEEP_REJECTED,
    }


def _tasks() -> dict[str, Any]:
    return {
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_acks_late": True,
        # Without it the death of a prefork child acknowledges the message (measured: job lost).
        # It causes no loop: the row's lease refuses the second delivery.
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure": True,
        # An order whose task is ended before its row is stored is only in its message. A message
        # whose row holds the job's state does nothing the second time.
        "task_acks_on_timeout": False,
        "task_send_sent_event": False,
        "task_publish_retry_policy": {
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.2,
        },
    }


def threads_for(calls: int) -> int:
    """
    Return how many threads keep so many calls at the bank under way.

    While one settles its job and claims the next, another is ready to call (measured: with as many
    threads as calls a slot at the bank stands idle for 3 % of the time).
    """
    return calls + -(-calls // CALLS_OF_A_SPARE_THREAD)


def _worker(concurrency: int, pool: str) -> dict[str, Any]:
    return {
        "worker_consumer": "worker.broker.consumer:Consumer",
        "worker_pool": "worker.broker.consumer.processes:TaskPool" if pool == "prefork" else pool,
        "worker_concurrency": concurrency if pool == "prefork" else threads_for(concurrency),
        "worker_prefetch_multiplier": 1,
        # Once reduced at a reconnect, it grows back only as tasks end. An extra hint is harmless.
        "worker_enable_prefetch_count_reduction": False,
        # True kills a bank call under way (measured) and cannot do so with threads.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Remote control shows arguments, revokes and shuts down for anyone who can write to Redis.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        # A channel of our own: on Celery's, other programs in this database publish their events.
        "event_exchange": EVENTS,
        "event_queue_prefix": EVENTS,
        # Nothing of it is kept in Redis, so nothing has to expire.
        "event_queue_expires": None,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_proc_alive_timeout": 30,
    }
