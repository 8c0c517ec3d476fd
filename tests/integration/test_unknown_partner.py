"""An order whose partner nobody knows is told to whoever hands it in, at once."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from tests.integration.stock import only, row
from tests.servers.workers import PARTNER_ID, SECRET
from worker.config.settings import GivenSettings
from worker.domain.partners import UnknownPartner
from worker.enqueue import Producer
from worker.errors import InvalidOrder
from worker.process.tasks import handle_message
from worker.runtime import Runtime
from worker.store import Status, Store

ORDER = {"partner_txn_uid": "U1", "token_id": "ok-1", "reference1": "R1"}
WARNING = f"partner KP-TYPO is not configured here (known: {PARTNER_ID})"


@pytest.fixture
def settings(store: Store) -> dict[str, Any]:
    url = store.database.engine.url.render_as_string(hide_password=False)
    return {
        "database_url": SecretStr(url),
        "partner_id": PARTNER_ID,
        "partner_secret": SecretStr(SECRET),
    }


@pytest.fixture
def producer(settings: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[Producer]:
    """A producer with the settings of the test's parameter."""
    producer = Producer(GivenSettings(**settings | getattr(request, "param", {})))
    yield producer
    producer.close()


def test_a_receipt_warns_of_a_partner_that_is_not_configured(producer: Producer) -> None:
    receipt = producer.enqueue({**ORDER, "partner_id": "KP-TYPO"})
    assert (receipt.status, receipt.warning) == (Status.ACCEPTED, WARNING)
    again = producer.enqueue({**ORDER, "partner_id": "KP-TYPO"})
    assert (again.status, again.warning) == (Status.DUPLICATE, WARNING)


def test_every_receipt_of_many_has_its_own_warning(producer: Producer) -> None:
    orders = [
        {**ORDER, "partner_txn_uid": f"U{number}", "partner_id": partner}
        for number, partner in enumerate((PARTNER_ID, "KP-TYPO"))
    ]
    for dry_run in (True, False):
        receipts = list(producer.enqueue_many(orders, dry_run=dry_run))
        assert [each.warning for each in receipts] == [None, WARNING]


NONE = {"partner_id": None, "partner_secret": None}
NO_SECRET = {"partner_secret": None}


@pytest.mark.parametrize("producer", [NONE, NO_SECRET], indirect=True, ids=["none", "no secret"])
def test_a_producer_without_credentials_cannot_know(producer: Producer) -> None:
    assert producer.enqueue({**ORDER, "partner_id": "KP-TYPO"}).warning is None


@pytest.mark.parametrize(
    "producer", [{"unknown_partner": UnknownPartner.REFUSE}], indirect=True, ids=["refuse"]
)
def test_where_a_setting_says_so_such_an_order_is_refused(producer: Producer, store: Store) -> None:
    with pytest.raises(InvalidOrder, match="partnerId: partner KP-TYPO is not configured") as why:
        producer.enqueue({**ORDER, "partner_id": "KP-TYPO"})
    assert why.value.reason == "unknown_partner"
    (receipt,) = producer.enqueue_many([{**ORDER, "partner_id": "KP-TYPO"}])
    assert (receipt.status, receipt.reason) == (Status.INVALID, f"partnerId: {WARNING}")
    assert not store.jobs.exists("U1")
    assert producer.enqueue(ORDER).warning is None


def test_a_worker_warns_once_of_the_partner_of_a_message(
    settings: dict[str, Any], store: Store, database_kind: str
) -> None:
    stranger = f"KP-{database_kind}"  # a process warns of each once
    runtime = Runtime(GivenSettings(**settings))
    with capture_logs() as logs:
        for number in range(3):
            message = {"tokenId": "T1", "reference1": "R1", "partnerId": stranger}
            handle_message((), {**message, "partnerTxnUid": f"U{number}"}, runtime)
    runtime.close()
    warned = [each for each in logs if each["event"] == "unknown_partner"]
    assert [only(each, "log_level", "partner_id") for each in warned] == [("warning", stranger)]
    assert row(store, "U2")["partner_id"] == stranger
