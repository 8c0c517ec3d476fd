"""`doctor` behind PgBouncer: that there is one, what shows of its mode, and what cannot work."""

import pytest

from tests.cli.conftest import Run
from tests.cli.test_doctor import line, settings
from tests.integration.attempting import only_postgresql
from tests.servers.poolers import SESSION, TRANSACTION, MakePooler

__all__ = ["settings"]

pytestmark = only_postgresql
DOCTOR = ("doctor", "--json")


def test_a_pooler_in_transaction_mode_is_recognised(
    run: Run, settings: dict[str, str], pooler: MakePooler
) -> None:
    front = pooler(settings["KPLUS_DATABASE_URL"], mode=TRANSACTION)
    done = run(*DOCTOR, **settings | {"KPLUS_DATABASE_URL": front.url})
    assert done.code == 0
    assert "there is one, in transaction mode" in line(done, "pooler")["text"]


def test_of_a_pooler_in_session_mode_no_more_than_that_is_said(
    run: Run, settings: dict[str, str], pooler: MakePooler
) -> None:
    front = pooler(settings["KPLUS_DATABASE_URL"], mode=SESSION)
    done = run(*DOCTOR, **settings | {"KPLUS_DATABASE_URL": front.url})
    assert done.code == 0
    assert "whose mode does not show" in line(done, "pooler")["text"]


def test_a_pool_in_session_mode_that_is_too_small_is_wrong(
    run: Run, settings: dict[str, str], pooler: MakePooler
) -> None:
    front = pooler(settings["KPLUS_DATABASE_URL"], mode=SESSION, default_pool_size=1)
    found = line(run(*DOCTOR, **settings | {"KPLUS_DATABASE_URL": front.url}), "pooler")
    assert not found["ok"]
    assert "no second session" in found["text"]
    assert "default_pool_size" in found["remedy"]


@pytest.mark.parametrize("command", [DOCTOR, ("list",)])
def test_a_pooler_that_lends_for_one_statement_is_refused_with_what_to_write(
    run: Run, settings: dict[str, str], pooler: MakePooler, command: tuple[str, ...]
) -> None:
    front = pooler(settings["KPLUS_DATABASE_URL"], mode="statement")
    done = run(*command, **settings | {"KPLUS_DATABASE_URL": front.url})
    assert done.code != 0
    assert "lends its sessions for one statement" in done.all()
    assert "pool_mode = transaction" in done.all()
