"""`outbox`, `export`, and what `stats`, `doctor` and `show` say of outcomes that were not told."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.integration.stock import CANCELLED as DONE
from tests.integration.stock import Clock, accept, claimed, settle
from tests.servers.receivers import SECRET
from worker.domain.destinations import Destination
from worker.domain.events import event_id
from worker.store import Store, open_database

one_kind = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
LEASE = timedelta(seconds=60)
WHY = ("--reason", "the order system is mended")
HOOK = {"KPLUS_WEBHOOK_URL": "https://orders.example/secret-path", "KPLUS_WEBHOOK_SECRET": SECRET}


@pytest.fixture
def told(database: str) -> Iterator[Store]:
    """A store in which D1 and D2 are dead, W1 waits since an hour, and A1 arrived."""
    clock = Clock(datetime.now(UTC) - timedelta(hours=1))
    store = Store(open_database(database, clock=clock), destinations=[Destination.WEBHOOK])
    for uid in ("D1", "D2", "W1", "A1"):
        accept(store, uid)
        settle(store, claimed(store, uid), DONE)
        clock.forward(1)
    for parcel in store.outbox.claim(Destination.WEBHOOK, most=9, lease=LEASE):
        match parcel.uid[0]:
            case "D":
                store.outbox.failed(parcel, "http_500", wait=None)
            case "W":
                store.outbox.failed(parcel, "read_timeout", wait=LEASE)
            case _:
                store.outbox.delivered(parcel)
    yield store
    store.close()


def states(store: Store) -> dict[str, str]:
    rows = [store.outbox.events(uid=uid, most=9) for uid in ("D1", "D2", "W1", "A1")]
    return {row["partner_txn_uid"]: row["state"] for found in rows for row in found}


def test_the_list_shows_what_was_not_told_and_why(told: Store, run: Run, database: str) -> None:
    found = run("outbox", "list", "--json", KPLUS_DATABASE_URL=database)
    assert found.code == 0
    assert [(row["partner_txn_uid"], row["state"], row["fault"]) for row in found.json] == [
        ("D1", "dead", "http_500"),
        ("D2", "dead", "http_500"),
        ("W1", "waiting", "read_timeout"),
    ]
    assert found.json[0]["event"]["data"]["outcome"] == "cancelled"
    assert "lease_id" not in found.json[0]
    dead = run("outbox", "list", "--state", "dead", "--limit", "1", "--table")
    assert event_id("D1", 1) in dead.out
    assert "D2" not in dead.out
    assert "more than 1" in dead.err


@one_kind
def test_the_empty_list_says_so(run: Run, database: str) -> None:
    assert "No event" in run("outbox", "list", "--table", KPLUS_DATABASE_URL=database).out


def test_named_events_are_resent_and_the_act_is_recorded(
    told: Store, run: Run, database: str
) -> None:
    names = [event_id("D1", 1), event_id("A1", 1)]
    looked = run("outbox", "resend", *names, *WHY, "--dry-run", KPLUS_DATABASE_URL=database)
    assert (looked.code, looked.json["resent"]) == (0, 2)
    assert states(told)["D1"] == "dead"
    done = run("outbox", "resend", *names, *WHY)
    assert (done.code, done.json) == (0, {"dry_run": False, "resent": 2, "refused": []})
    assert states(told) == {"D1": "waiting", "D2": "dead", "W1": "waiting", "A1": "waiting"}
    acts = {act["target"]: act["reason"] for act in told.reports.actions()}
    assert acts == dict.fromkeys(names, WHY[1])


@one_kind
def test_an_event_that_waits_or_is_not_known_is_refused(
    told: Store, run: Run, database: str
) -> None:
    names = [event_id("W1", 1), "evt_unknown"]
    done = run("outbox", "resend", *names, *WHY, KPLUS_DATABASE_URL=database)
    assert (done.code, done.json["refused"]) == (1, names)
    assert done.err.count("is not known here, or waits") == 2


@one_kind
def test_all_dead_events_are_resent_after_a_clear_yes(told: Store, run: Run, database: str) -> None:
    unasked = run("outbox", "resend", "--dead", *WHY, KPLUS_DATABASE_URL=database)
    assert unasked.code == 2
    assert "would resend 2 events: say --yes" in unasked.err
    assert run("outbox", "resend", "--dead", *WHY, "--dry-run").json["resent"] == 2
    assert states(told)["D1"] == states(told)["D2"] == "dead"
    assert run("outbox", "resend", "--dead", *WHY, "--yes").json["resent"] == 2
    assert states(told)["D1"] == states(told)["D2"] == "waiting"


@one_kind
@pytest.mark.parametrize("words", [("resend", *WHY), ("resend", "evt_1", "--dead", *WHY)])
def test_events_are_named_or_all_that_are_dead(
    words: tuple[str, ...], run: Run, database: str
) -> None:
    done = run("outbox", *words, KPLUS_DATABASE_URL=database)
    assert (done.code, "name events by ID, or say --dead" in done.err) == (2, True)


def test_a_receiver_that_wanted_no_more_is_served_again(
    told: Store, run: Run, database: str
) -> None:
    told.endpoints.disable(Destination.WEBHOOK, "http_410")
    done = run("outbox", "enable", *WHY, KPLUS_DATABASE_URL=database)
    assert (done.code, done.json) == (0, {"enabled": ["webhook"]})
    assert not told.endpoints.endpoint(Destination.WEBHOOK).is_resting
    again = run("outbox", "enable", "--destination", "webhook", *WHY, "--table")
    assert (again.code, again.out) == (0, "Every receiver was served.\n")
    (act,) = told.reports.actions("webhook")
    assert (act["action"], act["before"]["reason"]) == ("enable_outcomes", "http_410")


@one_kind
def test_stats_say_who_is_not_told(told: Store, run: Run, database: str) -> None:
    def needs(**settings: str) -> str:
        found = run("stats", "--json", **settings).json
        (way,) = found["told"]
        assert (way["destination"], way["waiting"], way["dead"]) == ("webhook", 1, 2)
        return str(found["attention"])

    dead = "2 outcomes did not reach the order system by webhook"
    assert dead in needs(KPLUS_DATABASE_URL=database)
    told.endpoints.disable(Destination.WEBHOOK, "http_410")
    text = needs()
    assert "wants no more (http_410): 1 outcomes wait" in text
    assert "outbox enable --destination webhook" in text
    assert "wants no more" in run("stats", "--table").out


@one_kind
def test_show_tells_what_was_told_of_a_job(told: Store, run: Run, database: str) -> None:
    (event,) = run("show", "D1", "--json", KPLUS_DATABASE_URL=database).json["outbox"]
    assert (event["event_id"], event["state"]) == (event_id("D1", 1), "dead")
    assert "Events for the order system" in run("show", "A1", "--table").out


@one_kind
def test_the_doctor_finds_what_does_not_arrive_and_shows_no_path(
    told: Store, run: Run, database: str
) -> None:
    def line(**settings: str) -> dict[str, Any]:
        checks = run("doctor", "--json", **settings).json["checks"]
        (found,) = [each for each in checks if each["check"] == "outcomes by webhook"]
        assert "secret-path" not in str(checks)
        return dict(found)

    unset = line(KPLUS_DATABASE_URL=database)
    assert (unset["ok"], unset["text"]) == (False, "1 wait; it is not set here")
    dead = line(**HOOK)
    assert (dead["ok"], dead["text"]) == (
        False,
        "https://orders.example; 1 wait, 2 are dead",
    )
    told.endpoints.disable(Destination.WEBHOOK, "http_410")
    assert "wants no more (http_410)" in line()["text"]


@one_kind
def test_a_command_that_ends_jobs_tells_of_it_as_a_worker_does(
    told: Store, run: Run, database: str, partner: dict[str, str]
) -> None:
    clock = datetime.now(UTC) - timedelta(seconds=1)
    accept(told, "LAPSED", expires_at=clock)
    settings = {**partner, **HOOK, "KPLUS_DATABASE_URL": database}
    assert run("reconcile", "--json", **settings).json["exhausted"] == 1
    (event,) = told.outbox.events(uid="LAPSED", most=9)
    assert json.loads(event["body"])["data"]["outcome"] == "lapsed"


def test_an_export_goes_on_where_the_last_one_ended(told: Store, run: Run, database: str) -> None:
    whole = run("export", KPLUS_DATABASE_URL=database)
    rows = [json.loads(line) for line in whole.out.splitlines()]
    assert [row["partnerTxnUid"] for row in rows] == ["D1", "D2", "W1", "A1"]
    assert rows[0]["id"] == event_id("D1", 1)
    rest = run("export", "--since", rows[1]["cursor"])
    assert rest.out.splitlines() == whole.out.splitlines()[2:]
    assert run("export", "--since", rows[-1]["cursor"]).out == ""
    table = list(csv.DictReader(io.StringIO(run("export", "--format", "csv").out)))
    assert [row["partnerTxnUid"] for row in table] == ["D1", "D2", "W1", "A1"]
    assert list(table[0]) == list(rows[0])


@one_kind
def test_a_cursor_that_is_none_is_a_mistake_of_usage(run: Run, database: str) -> None:
    done = run("export", "--since", "yesterday", KPLUS_DATABASE_URL=database)
    assert (done.code, "is no cursor of an export" in done.err) == (2, True)
