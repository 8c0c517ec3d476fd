"""What a health check says of the workers of an environment."""

from collections.abc import Callable

import pytest

from worker.doctor.diagnosis import diagnose
from worker.doctor.finding import Finding

Health = Callable[[dict[str, str]], list[Finding]]


@pytest.fixture
def health(settings_env: Callable[..., None]) -> Health:
    """Return what a health check finds, from inside: a process of its own would take too long."""

    def look(environment: dict[str, str]) -> list[Finding]:
        settings_env(**environment)
        return list(diagnose(worker=True))

    return look
