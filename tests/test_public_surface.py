"""
Every public name that users, other systems and saved messages rely on, written out.

A name that is missing from the code, or new in it, fails here: the surface changes on purpose,
with a line in the changelog, or not at all.
"""

import importlib
import inspect
import subprocess
import sys
import tomllib
from collections.abc import Callable

import pytest

import worker
from tests.servers.schema import ROOT
from worker.broker import app as broker
from worker.broker.app import create_app
from worker.cli import SECTIONS
from worker.cli.ui import exit_codes
from worker.config.settings import GivenSettings, Settings
from worker.config.sources import PREFIX, SECRETS
from worker.domain.orders import Order
from worker.domain.states import Outcome, State
from worker.forksafe import PerProcess
from worker.process.liveness import Liveness
from worker.process.tasks import register
from worker.runtime import Runtime
from worker.store import Status
from worker.store.schema.tables import cancel_jobs

PRODUCERS = {"Producer", "Receipt", "enqueue_cancel", "enqueue_many"}

SETTINGS = {
    "KPLUS_BACKOFF_BASE_SECONDS": 2,
    "KPLUS_BACKOFF_CAP_SECONDS": 300,
    "KPLUS_BANK_URL": "https://kbankapi.tech/v1/kplus/payment/cancel-token",
    "KPLUS_BROKER_URL": None,
    "KPLUS_CONCURRENCY": 16,
    "KPLUS_COOLDOWN_BASE_SECONDS": 5,
    "KPLUS_COOLDOWN_CAP_SECONDS": 300,
    "KPLUS_DATABASE_SCHEMA": None,
    "KPLUS_DATABASE_URL": None,
    "KPLUS_DEADLINE_SECONDS": 15,
    "KPLUS_DIALECT_FILE": None,
    "KPLUS_HOME": ".kplus-cancel",
    "KPLUS_INQUIRY_BASE_SECONDS": 2,
    "KPLUS_INQUIRY_UID_PREFIX": "INQ",
    "KPLUS_INQUIRY_URL": None,
    "KPLUS_LEASE_SECONDS": 60,
    "KPLUS_MAINTENANCE": None,
    "KPLUS_MAX_AGE_SECONDS": 86400,
    "KPLUS_MAX_ATTEMPTS": 20,
    "KPLUS_MAX_RETRY_AFTER_SECONDS": 3600,
    "KPLUS_NO_PROXY": "",
    "KPLUS_OUTCOME_MAX_AGE_SECONDS": 259200,
    "KPLUS_OUTCOME_MAX_ATTEMPTS": 100,
    "KPLUS_OUTCOME_QUEUE": None,
    "KPLUS_OUTCOME_TASK": None,
    "KPLUS_PARTNERS_FILE": None,
    "KPLUS_PARTNER_ID": None,
    "KPLUS_PARTNER_SECRET": None,
    "KPLUS_PARTNER_SECRET_FILE": None,
    "KPLUS_PROXY_CA_BUNDLE": None,
    "KPLUS_PROXY_URL": None,
    "KPLUS_REJECTED_BYTES": 4_000_000,
    "KPLUS_REJECTED_MESSAGES": 1000,
    "KPLUS_REQUEST_DT": "unix",
    "KPLUS_RUN_JOBS": 200,
    "KPLUS_RUN_SECONDS": 2,
    "KPLUS_STALL_SECONDS": None,
    "KPLUS_SWEEP_SECONDS": 1,
    "KPLUS_UID_LENGTH": 64,
    "KPLUS_UNKNOWN_PARTNER": "warn",
    "KPLUS_WEBHOOK_CA_BUNDLE": None,
    "KPLUS_WEBHOOK_DEADLINE_SECONDS": 10,
    "KPLUS_WEBHOOK_PREVIOUS_SECRET": None,
    "KPLUS_WEBHOOK_PROXY_URL": None,
    "KPLUS_WEBHOOK_SECRET": None,
    "KPLUS_WEBHOOK_URL": None,
}
"""Every setting with its default."""

SECRET_FILES = {
    "KPLUS_BROKER_URL_FILE",
    "KPLUS_DATABASE_URL_FILE",
    "KPLUS_PROXY_URL_FILE",
    "KPLUS_WEBHOOK_PREVIOUS_SECRET_FILE",
    "KPLUS_WEBHOOK_PROXY_URL_FILE",
    "KPLUS_WEBHOOK_SECRET_FILE",
    "KPLUS_WEBHOOK_URL_FILE",
}
"""Settings that a file may hold, beside `KPLUS_PARTNER_SECRET_FILE`."""

TABLES = {
    "cancel_jobs": "partner_txn_uid partner_id token_id reference1 state outcome token_status "
    "status_code error_code error_desc attempts doubted created_at updated_at next_attempt_at "
    "expires_at finished_at lease_id lease_ends_at hinted_at",
    "cancel_attempts": "partner_txn_uid number kind wire_uid started_at finished_at duration_ms "
    "http_status status_code error_code error_desc heard decision detail",
    "token_statuses": "partner_txn_uid token_id reference1 status observed_at",
    "partners": "partner_id mode reason resume_at failures updated_at",
    "rejected_counts": "",
    "rejected_messages": "",
    "operator_actions": "",
    "audits": "",
    "endpoints": "",
    "locks": "name",
    "outbox": "",
    "tombstones": "",
}
"""Every table, with the columns that the contract names; a table may have more."""

COMMANDS = [
    "demo",
    "doctor",
    "db",
    "worker",
    "sandbox",
    "reconcile",
    "enqueue",
    "import",
    "show",
    "why",
    "list",
    "export",
    "stats",
    "requeue",
    "reissue",
    "discard",
    "seen",
    "outbox",
    "partners",
    "actions",
    "dialect",
    "prune",
    "rejected",
]


@pytest.mark.parametrize("module", ["worker", "worker.enqueue"])
def test_producers_import_their_names_from_both_places(module: str) -> None:
    found = importlib.import_module(module)
    assert {name for name in PRODUCERS if hasattr(found, name)} == PRODUCERS
    for name in PRODUCERS:
        assert getattr(found, name) is getattr(importlib.import_module("worker.enqueue"), name)


def test_the_package_lists_its_names_and_refuses_others() -> None:
    assert set(worker.__all__) == PRODUCERS | {"__version__"}
    assert set(worker.__all__) <= set(dir(worker))
    with pytest.raises(AttributeError, match="no attribute 'enqueue_cancels'"):
        _ = worker.enqueue_cancels  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="enqueue_cancels"):
        from worker import enqueue_cancels  # type: ignore[attr-defined] # noqa: F401, PLC0415


def test_importing_the_package_loads_no_library() -> None:
    """The console script and every tool that asks for the version import it."""
    heavy = "{'celery', 'kombu', 'sqlalchemy', 'pydantic', 'httpx', 'redis', 'structlog'}"
    program = f"""if True:
        import sys
        import worker
        worker.__version__, dir(worker)
        print(sorted({heavy} & set(sys.modules)))
        from worker import Producer, enqueue
        print(enqueue.__name__, Producer is enqueue.Producer, 'sqlalchemy' in sys.modules)
    """
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "worker.enqueue True True"]


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (
            worker.enqueue_cancel,
            ["partner_txn_uid", "token_id", "reference1", "partner_id", "expires_at", "session"],
        ),
        (worker.enqueue_many, ["orders", "session"]),
        (worker.Producer.enqueue, ["self", "order", "session"]),
    ],
)
def test_what_producers_pass_keeps_its_name(
    function: Callable[..., object], parameters: list[str]
) -> None:
    assert list(inspect.signature(function).parameters) == parameters


def test_a_receipt_keeps_its_fields_and_its_words() -> None:
    fields = inspect.signature(worker.Receipt).parameters
    assert list(fields) == ["partner_txn_uid", "status", "state", "outcome", "reason", "warning"]
    assert {"accepted", "duplicate", "conflict", "invalid"} == {*map(str, Status)}


def test_the_distribution_and_its_console_script_keep_their_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "kplus-cancel"
    assert [*project["scripts"]] == ["kplus-cancel"]
    module, _, function = project["scripts"]["kplus-cancel"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_commands_and_exit_codes_stay() -> None:
    assert [name for section in SECTIONS.values() for name in section] == COMMANDS
    codes = (exit_codes.DONE, exit_codes.NO, exit_codes.USAGE, exit_codes.SETTINGS)
    assert (*codes, exit_codes.UNREACHABLE) == (0, 1, 2, 3, 4)


def test_task_and_queue_names_outlive_every_release() -> None:
    """Messages that are queued now are read by the next release."""
    app = create_app(broker_url="redis://localhost", lease=GivenSettings().lease)
    register(app, PerProcess(lambda: Runtime(GivenSettings())), Liveness())
    ours = {name for name in app.tasks if name.startswith("kplus.")}
    assert ours == {"kplus.cancel_token", "kplus.keep_rejected", "kplus.reconcile"}
    assert (broker.CANCEL_TOKEN, broker.CANCEL_QUEUE) == ("kplus.cancel_token", "kplus.cancel")
    assert (broker.RECONCILE, broker.HOUSEKEEPING_QUEUE) == (
        "kplus.reconcile",
        "kplus.housekeeping",
    )
    assert {queue.name for queue in app.amqp.queues.values()} == {
        "kplus.cancel",
        "kplus.housekeeping",
    }


def test_a_message_keeps_its_keys() -> None:
    keys = {field.validation_alias or name for name, field in Order.model_fields.items()}
    assert keys == {"partnerTxnUid", "tokenId", "reference1", "partnerId", "expiresAt"}


def test_every_setting_keeps_its_name_and_its_default() -> None:
    assert PREFIX == "KPLUS_"
    fields = Settings.model_fields.items()
    assert {f"KPLUS_{name.upper()}": field.default for name, field in fields} == SETTINGS
    assert {f"KPLUS_{name.upper()}_FILE" for name in SECRETS} == SECRET_FILES


def test_every_table_is_there_and_keeps_its_columns() -> None:
    tables = cancel_jobs.metadata.tables
    assert set(tables) == set(TABLES)
    missing = {
        f"{name}.{column}"
        for name, columns in TABLES.items()
        for column in columns.split()
        if column not in tables[name].columns
    }
    assert missing == set()


def test_states_and_outcomes_keep_their_words() -> None:
    states = "pending in_flight retryable in_doubt succeeded refused exhausted"
    assert [*map(str, State)] == states.split()
    outcomes = "cancelled already_cancelled expired paid refused lapsed gave_up unknown"
    assert [*map(str, Outcome)] == outcomes.split()
