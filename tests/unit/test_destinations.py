"""Where outcomes may be sent, and what is said of settings that cannot be used."""

from pathlib import Path
from typing import Any

import pytest

from tests.servers.receivers import OLD_SECRET, SECRET
from worker.config.settings import GivenSettings, load_settings
from worker.domain.destinations import Destination
from worker.errors import SettingsError
from worker.telemetry.redaction import protect, redact

URL = "https://orders.example/hooks/kplus?key=very-secret"
GOOD: dict[str, Any] = {"webhook_url": URL, "webhook_secret": SECRET}


def refused(**given: Any) -> str:
    with pytest.raises(ValueError, match="KPLUS_") as error:
        GivenSettings(**given)
    return str(error.value)


def test_with_nothing_set_nobody_is_told() -> None:
    assert GivenSettings().destinations == []


def test_both_ways_may_be_set() -> None:
    settings = GivenSettings(**GOOD, outcome_task="orders.cancelled", outcome_queue="orders")
    assert settings.destinations == [Destination.WEBHOOK, Destination.MESSAGE]


def test_the_present_secret_signs_first() -> None:
    webhook = GivenSettings(**GOOD, webhook_previous_secret=OLD_SECRET).webhook
    assert webhook is not None
    assert [key[-3:] for key in webhook.keys] == [b"new", b"old"]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:1/x", URL]
)
def test_these_urls_may_be_posted_to(url: str) -> None:
    assert GivenSettings(**GOOD | {"webhook_url": url}).webhook is not None


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://orders.example/x", "must begin with https://"),
        ("http://127.0.0.1.example/x", "must begin with https://"),
        ("https://user:pw@orders.example/x", "must hold no user"),
        ("https://orders.example/x#part", "must hold no fragment"),
        ("orders.example/x", "must be a whole URL"),
        ("ftp://orders.example/x", "must be a whole URL"),
        ("https:///x", "must be a whole URL"),
        ("https://orders.example:0/x", "must be a whole URL"),
        ("https://orders.example:99999/x", "must be a whole URL"),
        ("https://orders.example/a b", "must be a whole URL"),
        ("https://orders.example/x\n", "must be a whole URL"),
    ],
)
def test_other_urls_are_refused_and_not_shown(url: str, complaint: str) -> None:
    said = refused(**GOOD | {"webhook_url": url})
    assert f"KPLUS_WEBHOOK_URL {complaint}" in said
    assert url not in said


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"webhook_url": URL}, "KPLUS_WEBHOOK_SECRET is missing"),
        ({"webhook_secret": SECRET}, "KPLUS_WEBHOOK_SECRET is set without KPLUS_WEBHOOK_URL"),
        (GOOD | {"webhook_secret": "a-word"}, "KPLUS_WEBHOOK_SECRET must be whsec_"),
        (GOOD | {"webhook_previous_secret": "x"}, "KPLUS_WEBHOOK_PREVIOUS_SECRET must be whsec_"),
        ({"outcome_task": "t"}, "KPLUS_OUTCOME_QUEUE is missing"),
        ({"outcome_queue": "q"}, "KPLUS_OUTCOME_TASK is missing"),
        ({"outcome_task": "t", "outcome_queue": "kplus.cancel"}, "KPLUS_OUTCOME_QUEUE must be the"),
        ({"outcome_task": "a b", "outcome_queue": "q"}, "KPLUS_OUTCOME_TASK must be 1 to 200"),
    ],
)
def test_half_a_destination_is_refused_with_the_name_of_the_setting(
    given: dict[str, Any], complaint: str
) -> None:
    assert complaint in refused(**given)


def test_neither_secret_nor_path_is_in_what_can_be_shown() -> None:
    settings = GivenSettings(**GOOD)
    webhook = settings.webhook
    assert webhook is not None
    assert webhook.origin == "https://orders.example"
    shown = repr(webhook) + repr(settings)
    assert SECRET[6:] not in shown
    assert "very-secret" not in shown
    protect(settings.outcome_secrets())
    assert SECRET[6:] not in redact(f"it was {SECRET}, or {SECRET[6:]}")


def test_a_mistyped_setting_is_told_with_the_right_name(settings_env: Any) -> None:
    settings_env(KPLUS_WEBHOOK_SECRETT=SECRET)
    with pytest.raises(SettingsError, match="did you mean KPLUS_WEBHOOK_SECRET") as refusal:
        load_settings()
    assert SECRET not in str(refusal.value)


def test_the_secrets_may_stand_in_files(settings_env: Any, tmp_path: Path) -> None:
    for name, secret in (("new", SECRET), ("old", OLD_SECRET)):
        (tmp_path / name).write_text(f"{secret}\n")
    settings_env(
        KPLUS_WEBHOOK_URL=URL,
        KPLUS_WEBHOOK_SECRET_FILE=tmp_path / "new",
        KPLUS_WEBHOOK_PREVIOUS_SECRET_FILE=tmp_path / "old",
    )
    webhook = load_settings().webhook
    assert webhook is not None
    assert webhook.secrets == (SECRET, OLD_SECRET)
