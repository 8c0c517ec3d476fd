"""`partners` and `rejected`: what operators do is recorded, what was refused is seen."""

from sqlalchemy import select

from tests.cli.conftest import Run
from tests.servers.workers import PARTNER_ID
from worker.cli.ui.operator import operator
from worker.store import RejectedMessage, Store
from worker.store.schema.tables import operator_actions


def actions(store: Store) -> list[tuple[str, str, str, str]]:
    table = operator_actions.c
    statement = select(table.action, table.target, table.reason, table.who).order_by(table.id)
    return [tuple(row) for row in store.database.read(statement)]


def test_a_pause_and_a_resume_are_recorded_with_who_and_why(
    run: Run, partner: dict[str, str], database: str, stored: Store
) -> None:
    settings = {**partner, "KPLUS_DATABASE_URL": database}
    paused = run("partners", "pause", PARTNER_ID, "--reason", "the bank asked", **settings)
    assert paused.code == 0
    assert (paused.json["mode"], paused.json["changed"]) == ("paused", True)
    resumed = run("partners", "resume", PARTNER_ID, "--reason", "it is over", **settings)
    assert (resumed.json["mode"], resumed.json["changed"]) == ("active", True)
    assert actions(stored) == [
        ("pause_partner", PARTNER_ID, "the bank asked", operator()),
        ("resume_partner", PARTNER_ID, "it is over", operator()),
    ]


def test_a_second_pause_changes_nothing_and_says_which_reason_stands(
    run: Run, partner: dict[str, str], database: str, stored: Store
) -> None:
    settings = {**partner, "KPLUS_DATABASE_URL": database}
    run("partners", "pause", PARTNER_ID, "--reason", "first", **settings)
    done = run("partners", "pause", PARTNER_ID, "--reason", "second", "--table", **settings)
    assert done.code == 0
    assert "was paused already: first" in done.out
    assert len(actions(stored)) == 1


def test_a_mistyped_partner_is_refused_with_the_known_ones(
    run: Run, partner: dict[str, str], database: str, stored: Store
) -> None:
    done = run(
        "partners", "pause", "KP2", "--reason", "why", **partner, KPLUS_DATABASE_URL=database
    )
    assert done.code == 1
    assert f"there is no partner 'KP2' (known: {PARTNER_ID})" in done.err
    assert actions(stored) == []


def test_the_list_tells_configured_partners_from_those_that_only_rested(
    run: Run, partner: dict[str, str], database: str, stored: Store
) -> None:
    stored.actions.pause_partner("P9", who="me", reason="no credentials")
    settings = {**partner, "KPLUS_DATABASE_URL": database}
    rows = run("partners", "list", "--json", **settings).json
    assert [(row["partner_id"], row["mode"], row["configured"]) for row in rows] == [
        (PARTNER_ID, "active", True),
        ("P9", "paused", False),
    ]
    page = run("partners", "list", "--table", **settings).out
    assert "no credentials" in page
    told = run("partners", "resume", "P9", "--reason", "why", **settings)
    assert "pauses it again" in told.err


def test_rejected_messages_are_seen_with_reason_and_count(
    run: Run, database: str, stored: Store
) -> None:
    message = RejectedMessage(
        reason="invalid_fields", detail="tokenId: Field required", body="{\x1b}"
    )
    stored.rejected_messages.keep(message)
    stored.rejected_messages.keep(message)
    stored.rejected_messages.keep(
        RejectedMessage(reason="not_json", detail="no JSON", body="5", uid="U1")
    )
    rows = run("rejected", "--json", KPLUS_DATABASE_URL=database).json
    assert [(row["reason"], row["deliveries"]) for row in rows] == [
        ("not_json", 1),
        ("invalid_fields", 2),
    ]
    page = run("rejected", "--table", "--bodies", KPLUS_DATABASE_URL=database).out
    assert "tokenId: Field required" in page
    assert "seen 2 times" in page
    assert r"{\x1b}" in page
    cut = run("rejected", "--table", "--limit", "1", KPLUS_DATABASE_URL=database)
    assert "1 of 2 are shown" in cut.err
    told = run("stats", "--json", KPLUS_DATABASE_URL=database).json
    assert told["rejected_messages"] == {"invalid_fields": 1, "not_json": 1}


def test_no_rejected_message_is_an_answer(run: Run, database: str) -> None:
    assert run("rejected", KPLUS_DATABASE_URL=database).json == []
    assert "No message" in run("rejected", "--table", KPLUS_DATABASE_URL=database).out
