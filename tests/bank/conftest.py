"""What every test of the bank client starts from."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.bank.peer import REQUEST, Peer, Play
from tests.servers.waiting import LIMIT
from worker.bank import Bank
from worker.domain.kplus import RequestDt
from worker.domain.partners import Partner

SECRET = "S1AyQ0ZCMDAwMDMzMTU5LWtwbHVzLXNpdC0yYzJwLWZhY2Vib29r"
NOON = datetime.fromtimestamp(1519630776, tz=UTC)

MakePartner = Callable[..., Partner]
MakeBank = Callable[..., Bank]
MakePeer = Callable[..., Peer]


def partner_at(url: str, **settings: Any) -> Partner:
    fields = {"partner_id": REQUEST.partner_id, "secret": SECRET, "bank_url": url}
    return Partner.model_validate(fields | settings)


@pytest.fixture
def make_bank() -> Iterator[MakeBank]:
    """Banks with a deadline that no test meets unless it sets its own; closed at the end."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Bank:
            usual: dict[str, Any] = {
                "deadline": timedelta(seconds=LIMIT),
                "request_dt": RequestDt.UNIX,
                "connections": 32,
                "clock": lambda: NOON,
            }
            bank = Bank(**(usual | settings))
            stack.callback(bank.close)
            return bank

        yield make


@pytest.fixture
def bank(make_bank: MakeBank) -> Bank:
    return make_bank()


@pytest.fixture
def serve() -> Iterator[MakePeer]:
    """Peers that play what they are told, gone at the end."""
    with ExitStack() as stack:

        def start(play: Play, **settings: Any) -> Peer:
            return stack.enter_context(Peer(play, **settings))

        yield start
