"""What all suites share: real servers, real workers, and a loud word on what was not run."""

from typing import Any

import pytest

from tests.servers.missing import counted
from tests.servers.waiting import FACTOR

pytest_plugins = [
    "tests.servers.databases",
    "tests.servers.collations",
    "tests.servers.standbys",
    "tests.servers.hostile_schema",
    "tests.servers.roles",
    "tests.servers.brokers",
    "tests.servers.rabbitmq",
    "tests.servers.sentinels",
    "tests.servers.workers",
    "tests.servers.receivers",
    "tests.servers.egress",
    "tests.servers.health",
    "tests.servers.poolers",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a broker by what it takes, so that `-m "not broker"` leaves out all of it."""
    for item in items:
        taken = set(getattr(item, "fixturenames", ()))
        if not taken.isdisjoint({"broker_server", "make_redis", "redis_server"}):
            item.add_marker(pytest.mark.broker)
        if "worker_process" in taken:
            item.add_marker(pytest.mark.e2e)
        _give_time(item)


def _give_time(item: pytest.Item) -> None:
    """Scale what ends a test that hangs like the waits in it."""
    own = item.get_closest_marker("timeout")
    seconds = float(own.args[0] if own else item.config.getini("timeout"))
    item.add_marker(pytest.mark.timeout(FACTOR * seconds), append=False)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name what was not run for want of something: a skip among many is easily overlooked."""
    missing = counted(terminalreporter.stats.get("skipped", ()))
    if missing:
        terminalreporter.section("NOT RUN: not at hand", red=True, bold=True)
        for reason, count in missing.items():
            terminalreporter.line(f"{count} tests not run: {reason}", red=True)
