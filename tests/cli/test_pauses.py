"""What each pause asks for: said truly wherever it is said, with `resume` only where it helps."""

from dataclasses import replace
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.integration.stock import OURS, accept, claimed, evidence, settle
from tests.servers.workers import PARTNER_ID
from worker.store import UNCONFIGURED, Store

RESUME = f"partners resume {PARTNER_ID}"

CAUSES = {
    "HTTP 401: errorCode authentication_error (EMA)": ("refuses our secret", False),
    "HTTP 400: errorCode invalid_partnerSecret": ("refuses our secret", False),
    "HTTP 403 speaks about us, not about the token: the body is empty": ("our secret", False),
    "HTTP 400: errorCode invalid_requestDt; the bank's clock is 312 s ahead of ours": (
        "set the clock of the workers",
        True,
    ),
    "HTTP 400: errorCode invalid_partnerId": ("does not know this partner", True),
    "HTTP 400: errorCode merchant_closed": ("ask it to open them", True),
    "HTTP 404 speaks about us, not about the token: the body is empty": ("KPLUS_BANK_URL", False),
    "nothing was sent: the peer could not prove that it is the bank (check its": (
        "ca_bundle",
        False,
    ),
    "nothing was sent: the bank refused our client certificate, or that there is none": (
        "client_cert",
        False,
    ),
    "the TLS files cannot be used: no such file": ("TLS files", False),
    "something else": ("Mend what the reason names", True),
}


def pause(store: Store, reason: str, *, credentials: str = "0123456789abcdef") -> None:
    """Let a worker pause the partner, as an answer of the bank makes it."""
    accept(store, "U1", partner_id=PARTNER_ID)
    mine = claimed(store)
    heard = replace(OURS, reason=reason, pause_reason=reason)
    assert settle(store, mine, heard, replace(evidence(), credentials=credentials))


def said(run: Run, settings: dict[str, str]) -> dict[str, str]:
    """Return what each surface says to do about the partner."""
    checks = run("doctor", "--json", **settings).json["checks"]
    (calls,) = [each for each in checks if each["check"] == f"calls of {PARTNER_ID}"]
    items = run("stats", "--json", **settings).json["attention"]
    found = [each for each in items if PARTNER_ID in each["what"]]
    acts = run("why", "U1", "--json", **settings).json["acts"]
    return {
        "doctor": calls["remedy"],
        "stats": " ".join(f"{each['what']} {each['command']}" for each in found),
        "why": " ".join(f"{each['what']} {each['command']}" for each in acts),
    }


@pytest.fixture
def settings(partner: dict[str, str], database: str) -> dict[str, Any]:
    nowhere = {"KPLUS_BANK_URL": "http://127.0.0.1:1/", "KPLUS_BROKER_URL": "redis://127.0.0.1:1/0"}
    return {**partner, "KPLUS_DATABASE_URL": database, **nowhere}


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("reason", CAUSES)
def test_what_mends_a_pause_is_said_and_resume_only_where_it_helps(
    run: Run, stored: Store, settings: dict[str, str], reason: str
) -> None:
    words, resumes = CAUSES[reason]
    pause(stored, reason)
    for surface, text in said(run, settings).items():
        assert words in text, surface
        assert (RESUME in text) is resumes, surface


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_pause_by_an_operator_ends_by_resume(
    run: Run, stored: Store, settings: dict[str, str]
) -> None:
    accept(stored, "U1", partner_id=PARTNER_ID)
    stored.actions.pause_partner(PARTNER_ID, who="ploy", reason="HTTP 401 maintenance")
    for surface, text in said(run, settings).items():
        assert RESUME in text, surface
        assert "secret" not in text, surface


def test_jobs_of_a_partner_that_nobody_knows_are_to_be_served_or_discarded(
    run: Run, stored: Store, settings: dict[str, str]
) -> None:
    pause(stored, UNCONFIGURED, credentials="")
    settings |= {"KPLUS_PARTNER_ID": "OTHER"}
    discard = f"discard --partner {PARTNER_ID}"
    for surface, text in said(run, settings).items():
        assert discard in text, surface
        assert "resume" not in text.replace("resumes", ""), surface
    items = run("stats", "--json", **settings).json["attention"]
    assert items[0]["what"].startswith(f"1 job of partner {PARTNER_ID}: nobody")
    given = ("--partner", PARTNER_ID, "--reason", "mistyped", "--yes")
    assert run("discard", *given, **settings).json["discarded"] == 1
    assert run("stats", "--json", **settings).json["attention"] == []
    checks = run("doctor", "--json", **settings).json["checks"]
    assert [each for each in checks if each["check"].startswith(("calls", "ends"))] == []


def test_jobs_that_no_worker_has_met_yet_are_named_where_the_partners_are_known(
    run: Run, stored: Store, settings: dict[str, str]
) -> None:
    accept(stored, "U1", "U2", partner_id="KP-TYPO")
    (item,) = run("stats", "--json", **settings).json["attention"]
    assert item["what"].startswith("2 jobs of partner KP-TYPO: nobody serves them.")
    settings |= {"KPLUS_PARTNER_ID": "", "KPLUS_PARTNER_SECRET": ""}
    assert run("stats", "--json", **settings).json["attention"] == []
