"""
The Celery application: names, queues and delivery settings, the same for worker and producer.

The names are part of the contract. Messages outlive releases, so they never change.
"""

from datetime import timedelta
from typing import Any, Final

from celery import Celery
from kombu import Connection

from worker.broker.address import broker_settings
from worker.broker.queues import queue

CANCEL_TOKEN: Final = "kplus.cancel_token"  # noqa: S105 -- a task's name, not a token
RECONCILE: Final = "kplus.reconcile"
KEEP_REJECTED: Final = "kplus.keep_rejected"

CANCEL_QUEUE: Final = "kplus.cancel"
HOUSEKEEPING_QUEUE: Final = "kplus.housekeeping"

PATIENCE: Final = timedelta(seconds=5)
"""How long a worker waits for one answer of the broker."""


def create_app(
    *,
    broker_url: str,
    lease: timedelta,
    concurrency: int = 16,
    pool: str = "threads",
    patience: timedelta = PATIENCE,
) -> Celery:
    """
    Return the application; its tasks are registered by the caller.

    Nothing is connected yet. `patience` bounds each wait for the broker: a producer
    that must answer soon passes a short one. Raises `SettingsError` where Celery would
    not run safely on the URL.
    """
    # The embedding program may use Celery itself: its current app, its configuration module and
    # its Django settings are none of ours.
    app = KplusCelery("kplus-cancel", loader="app", fixups=[], set_as_current=False)
    broker = broker_settings(broker_url, lease=lease, patience=patience)
    app.kplus_broker_url = broker["broker_url"]
    app.conf.update(
        **broker,
        **_routing(quorum=broker["broker_transport"] is None),
        **_tasks(lease),
        **_worker(concurrency, pool),
    )
    return app


class KplusCelery(Celery):
    """
    Celery that connects where the settings say.

    Celery's own `broker_url` gives way to CELERY_BROKER_URL in the environment, and its
    result backend to CELERY_RESULT_BACKEND; both belong to whatever else the user runs.
    """

    kplus_broker_url: str = ""
    backend_cls = "disabled"

    def connection(  # type: ignore[override]  # what is not named here is passed on
        self, hostname: str | None = None, **options: Any
    ) -> Connection:
        """Return a connection of either kind, as in Celery."""
        return super().connection(hostname or self.kplus_broker_url, **options)

    def connection_for_read(self, url: str | None = None, **options: Any) -> Connection:
        """Return a connection for consuming, as in Celery."""
        return super().connection_for_read(url or self.kplus_broker_url, **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Connection:
        """Return a connection for producing, as in Celery."""
        return super().connection_for_write(url or self.kplus_broker_url, **options)

    def send_task(self, *args: Any, **options: Any) -> Any:
        """
        Send a task, as in Celery, and wait for RabbitMQ's word no longer than for any other.

        Without a bound a RabbitMQ that stands still would hold the sweep for ever.
        """
        return super().send_task(
            *args, **{"confirm_timeout": self.conf.broker_connection_timeout} | options
        )


def _routing(*, quorum: bool) -> dict[str, Any]:
    """Two fixed queues: a mistyped name fails instead of filling a queue that nobody reads."""
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
        # Not Celery's: where `worker.broker.consumer` sends what cannot be handed to a task.
        "kplus_keep_task": KEEP_REJECTED,
    }


def _tasks(lease: timedelta) -> dict[str, Any]:
    return {
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_acks_late": True,
        # Without it a prefork child's death acknowledges the message (measured: job lost). No loop
        # comes of it: the row's lease refuses the second delivery.
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        # Prefork only, and a hard limit only: a soft one is an exception in the middle of a commit.
        "task_time_limit": 0.9 * lease.total_seconds(),
        "task_send_sent_event": False,
        "task_publish_retry_policy": {
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.2,
        },
    }


def _worker(concurrency: int, pool: str) -> dict[str, Any]:
    return {
        "worker_consumer": "worker.broker.consumer:Consumer",
        "worker_pool": "worker.broker.consumer.processes:TaskPool" if pool == "prefork" else pool,
        "worker_concurrency": concurrency,
        "worker_prefetch_multiplier": 1,
        # Reduced at a reconnect, it returns only as tasks end. A hint too many costs nothing.
        "worker_enable_prefetch_count_reduction": False,
        # True kills a bank call under way (measured) and cannot do so with threads.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Remote control shows arguments, revokes and shuts down for anyone who can write to Redis.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_proc_alive_timeout": 30,
    }
