"""A bank on a loopback socket, and a partner who calls it."""

from collections.abc import Iterator

import pytest

from tests.sandbox.caller import Caller
from worker.sandbox import Sandbox


@pytest.fixture
def bank() -> Iterator[Sandbox]:
    """A bank that must not stumble over itself, whatever the test does to it."""
    with Sandbox() as sandbox:
        yield sandbox
    assert sandbox.faults == []


@pytest.fixture
def caller(bank: Sandbox) -> Iterator[Caller]:
    with Caller(bank.port) as partner:
        yield partner
