"""How the properties of the pure core are tried out."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from worker.telemetry.redaction import protecting_for_a_while

# A busy machine is slow, not wrong: these tests promise what holds, not how fast.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def _own_secrets() -> Iterator[None]:
    """Let no test redact what another one called a secret: hypothesis takes any text for one."""
    with protecting_for_a_while():
        yield
