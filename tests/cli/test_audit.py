"""`reconcile --audit`: what the bank says now, beside what is held here."""

import pytest

from tests.cli.conftest import Run
from tests.integration.stock import ANSWERED, CANCELLED, claimed, order, settle
from tests.servers.workers import PARTNER_ID
from worker.sandbox import Sandbox
from worker.store import Store


@pytest.fixture
def settings(partner: dict[str, str], database: str, sandbox: Sandbox) -> dict[str, str]:
    return {
        **partner,
        "KPLUS_DATABASE_URL": database,
        "KPLUS_BANK_URL": sandbox.cancel_url,
        "KPLUS_INQUIRY_URL": sandbox.inquiry_url,
    }


def end(store: Store, *uids: str) -> None:
    for uid in uids:
        store.jobs.accept(order(uid, partner_id=PARTNER_ID, token_id=f"ok-{uid}"), hinted=False)
        settle(store, claimed(store, uid), CANCELLED, ANSWERED)


def test_drift_is_told_with_what_is_held_and_what_the_bank_says(
    run: Run, settings: dict[str, str], stored: Store, sandbox: Sandbox
) -> None:
    end(stored, "U1", "U2")
    sandbox.pay("ok-U1")
    sandbox.expire("ok-U2")
    done = run("reconcile", "--audit", "10", **settings)
    assert done.code == 1
    assert [done.json[name] for name in ("sampled", "agrees", "drifts", "unheard")] == [2, 1, 1, 0]
    (found,) = done.json["findings"]
    assert (found["partner_txn_uid"], found["held"], found["heard"]) == ("U1", "cancelled", "paid")
    page = run("reconcile", "--audit", "10", "--table", **settings)
    assert page.code == 1
    assert "the bank says otherwise: look into each" in page.out
    assert "U1: held cancelled, token status PAID" in page.out


def test_what_the_bank_confirms_ends_with_nought(
    run: Run, settings: dict[str, str], stored: Store, sandbox: Sandbox
) -> None:
    end(stored, "U1")
    sandbox.expire("ok-U1")
    assert run("reconcile", "--audit", "1", "--since", "1h", **settings).code == 0
    assert len(sandbox.journal.entries()) == 1


def test_a_bank_that_cannot_be_heard_is_no_yes(
    run: Run, settings: dict[str, str], stored: Store, sandbox: Sandbox
) -> None:
    end(stored, "U1")
    sandbox.change_rules(mode="refuse")
    done = run("reconcile", "--audit", "1", **settings)
    assert (done.code, done.json["unheard"]) == (4, 1)
    assert done.json["findings"][0]["detail"].startswith("nothing was sent")


def test_nothing_to_ask_about_is_an_answer(
    run: Run, settings: dict[str, str], stored: Store
) -> None:
    done = run("reconcile", "--audit", "5", "--table", **settings)
    assert done.code == 0
    assert "nothing to ask about" in done.out


def test_without_an_inquiry_url_the_bank_cannot_be_asked(
    run: Run, settings: dict[str, str], stored: Store
) -> None:
    del settings["KPLUS_INQUIRY_URL"]
    done = run("reconcile", "--audit", "5", **settings)
    assert done.code == 3
    assert "KPLUS_INQUIRY_URL" in done.err
