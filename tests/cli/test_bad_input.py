"""Bad input of every kind: its exit code, its name, one or two lines, and never a traceback."""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli.conftest import Run
from worker.cli.ui.exit_codes import SETTINGS, UNREACHABLE, USAGE

CANARY: Final = "canary-7b1f9a"
ENQUEUE: Final = ("enqueue", "--uid", "U1", "--token", "T1", "--reference1", "R1")
PAUSE: Final = ("partners", "pause", "P1")
REQUEUE: Final = ("requeue", "--reason", "why")
REISSUE: Final = ("reissue", "U1", "--reason", "why")

WRONG_USAGE: Final[list[tuple[tuple[str, ...], str]]] = [
    (("cancel-all",), "No such command 'cancel-all'"),
    (("--verbose",), "No such option '--verbose'"),
    (("show",), "Missing argument 'UID'"),
    (("show", "U1", "U2"), "unexpected extra argument (U2)"),
    (("show", "U1", "--xml"), "No such option '--xml'"),
    (("list", "--state", "done"), "'done' is not one of 'pending'"),
    (("list", "--outcome", "ok"), "'ok' is not one of 'cancelled'"),
    (("list", "--limit", "0"), "'--limit'"),
    (("list", "--limit", "many"), "'--limit'"),
    (("list", "--since", "yesterday"), "'yesterday' is neither an age"),
    (("list", "--since", "2026-11-22T08:00:00"), "an offset"),
    (("list", "--since", "-5m"), "neither an age"),
    (("enqueue", "--uid", "U1"), "Missing option '--token'"),
    ((*ENQUEUE, "--uid", ""), "--uid: "),
    ((*ENQUEUE, "--uid", "U" * 65), "--uid: "),
    ((*ENQUEUE, "--uid", "U 1"), "--uid: "),
    ((*ENQUEUE, "--token", "ไทย"), "--token: "),
    ((*ENQUEUE, "--token", "T" * 129), "--token: "),
    ((*ENQUEUE, "--reference1", "\x1b[2J"), "--reference1: "),
    ((*ENQUEUE, "--reference1", "   "), "--reference1: "),
    ((*ENQUEUE, "--expires", "soon"), "--expires: "),
    ((*ENQUEUE, "--expires", "2026-11-22T08:00:00"), "--expires: must carry an offset"),
    ((*ENQUEUE, "--expires", "1795305600000"), "--expires: "),
    ((*ENQUEUE, "--partner", "P\n1"), "--partner: "),
    (PAUSE, "Missing option '--reason'"),
    ((*PAUSE, "--reason", " "), "'--reason': say why"),
    ((*PAUSE, "--reason", "x" * 501), "'--reason': say why"),
    (("worker", "--concurrency", "0"), "'--concurrency'"),
    (("worker", "--pool", "gevent"), "'gevent' is not one of 'threads', 'prefork'"),
    (("worker", "--log-level", "loud"), "'loud' is not one of"),
    (("sandbox", "--port", "70000"), "'--port'"),
    (("sandbox", "--partner-id", "P1"), "one --secret-file for each --partner-id"),
    (("sandbox", "--partner-id", "P1", "--secret-file", "nowhere"), "'nowhere' does not exist"),
    (("db", "upgrade", "--to", "0999"), "'0999' is not one of"),
    (("db", "downgrade"), "No such command 'downgrade'"),
    (("demo", "--jobs", "0"), "'--jobs'"),
    (("rejected", "--limit", "-1"), "'--limit'"),
    (("actions", "--limit", "0"), "'--limit'"),
    (("requeue", "U1"), "Missing option '--reason'"),
    (REQUEUE, "name jobs by UID, or choose them by --outcome"),
    ((*REQUEUE, "U1", "--outcome", "gave_up"), "name jobs by UID, or choose them by --outcome"),
    ((*REQUEUE, "U1", "--since", "2h"), "name jobs by UID, or choose them by --outcome"),
    ((*REQUEUE, "--partner", "P1"), "name jobs by UID, or choose them by --outcome"),
    ((*REQUEUE, "--outcome", "paid"), "'paid' is not one of 'gave_up'"),
    ((*REQUEUE, "--outcome", "cancelled"), "'cancelled' is not one of"),
    ((*REQUEUE, "U1", "--expires", "soon"), "'--expires': must be Unix seconds"),
    ((*REQUEUE, "U1", "--expires", "2026-01-01T00:00:00Z"), "'--expires': lies in the past"),
    ((*REQUEUE, "--outcome", "gave_up", "--limit", "0"), "'--limit'"),
    (("reissue", "U1", "--as", "U2"), "Missing option '--reason'"),
    ((*REQUEUE, "--drifted", "--outcome", "unknown"), "--outcome or --drifted"),
    ((*REQUEUE, "U1", "--drifted"), "--outcome or --drifted"),
    (("discard", "U1"), "Missing option '--reason'"),
    (("discard", "--reason", "why"), "name jobs by UID"),
    (("discard", "U1", "--reason", " "), "say why in 1 to 500 printable characters"),
    (("discard", "--outcome", "unknown", "--reason", "why"), "--outcome"),
    (("seen", "U1"), "Missing option '--reason'"),
    (("seen", "--reason", "why"), "name jobs by UID"),
    (("seen", "--outcome", "cancelled", "--reason", "why"), "--outcome"),
    (("seen", "U1", "--outcome", "paid", "--reason", "why"), "name jobs by UID"),
    (REISSUE, "Missing option '--as'"),
]

WRONG_SETTINGS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"KPLUS_PARTNRE_ID": CANARY}, "did you mean KPLUS_PARTNER_ID?"),
    ({"KPLUS_LEASE_SECONDS": CANARY}, "KPLUS_LEASE_SECONDS: "),
    ({"KPLUS_LEASE_SECONDS": "2"}, "KPLUS_LEASE_SECONDS must be at least"),
    ({"KPLUS_CONCURRENCY": "0"}, "KPLUS_CONCURRENCY: "),
    ({"KPLUS_PARTNER_SECRET": CANARY}, "KPLUS_PARTNER_SECRET is set without KPLUS_PARTNER_ID"),
    ({"KPLUS_PARTNERS_FILE": "nowhere.toml"}, "nowhere.toml cannot be read"),
    ({"KPLUS_BROKER_URL": f"http://:{CANARY}@h"}, "KPLUS_BROKER_URL must begin with"),
    ({"KPLUS_DATABASE_URL": f"mysql://u:{CANARY}@h/d"}, "KPLUS_DATABASE_URL must be"),
    ({"KPLUS_DATABASE_URL": f"://{CANARY}"}, "KPLUS_DATABASE_URL must be"),
    ({"KPLUS_DATABASE_URL": f"postgresql+asyncpg://u:{CANARY}@h/d"}, "names the driver asyncpg"),
    ({"KPLUS_DATABASE_URL_FILE": "nowhere"}, "the file nowhere cannot be read"),
    ({"KPLUS_BANK_URL": CANARY}, "KPLUS_BANK_URL: "),
]

OUT_OF_REACH: Final[list[tuple[dict[str, Any], str]]] = [
    ({"KPLUS_DATABASE_URL": "sqlite:////proc/nowhere/x.db"}, "no database /proc/nowhere/x.db"),
    ({"KPLUS_DATABASE_URL": "sqlite:////etc/passwd"}, "is not a database"),
    ({"KPLUS_HOME": "elsewhere"}, "go to the folder of the worker"),
    (
        {"KPLUS_DATABASE_URL": f"postgresql://u:{CANARY}@127.0.0.1:1/d"},
        "the database cannot be used: connection",
    ),
]


def _short(err: str) -> bool:
    return "Traceback" not in err and len(err.splitlines()) <= 2


@pytest.mark.parametrize(("arguments", "named"), WRONG_USAGE, ids=lambda each: repr(each)[:60])
def test_wrong_usage_is_named_and_ends_with_2(
    run: Run, partner: dict[str, str], arguments: tuple[str, ...], named: str
) -> None:
    done = run(*arguments, **partner)
    assert done.code == USAGE
    assert named in done.err
    assert done.out == ""
    assert _short(done.err)


@pytest.mark.parametrize(("settings", "named"), WRONG_SETTINGS, ids=lambda each: repr(each)[:60])
@pytest.mark.parametrize("command", ["list", "worker"])
def test_wrong_settings_are_named_without_their_value_and_end_with_3(
    run: Run, command: str, settings: dict[str, Any], named: str
) -> None:
    done = run(command, **settings)
    assert done.code == SETTINGS
    assert named in done.err
    assert _short(done.err)
    assert CANARY not in done.all()


@pytest.mark.parametrize(("settings", "named"), OUT_OF_REACH, ids=lambda each: repr(each)[:60])
@pytest.mark.parametrize("command", ["stats", "list", "rejected", "reconcile"])
def test_what_cannot_be_reached_is_named_with_its_remedy_and_ends_with_4(
    run: Run, command: str, settings: dict[str, Any], named: str
) -> None:
    done = run(command, **settings)
    assert done.code == UNREACHABLE
    assert named in done.err
    assert _short(done.err)
    assert CANARY not in done.all()


def test_several_wrong_fields_are_told_at_once_each_by_its_option(
    run: Run, partner: dict[str, str]
) -> None:
    done = run(*ENQUEUE, "--uid", "U 1", "--token", "", "--expires", "soon", **partner)
    assert done.code == USAGE
    assert [line.split(": ")[1] for line in done.err.splitlines()] == [
        "--uid",
        "--token",
        "--expires",
    ]


def test_a_partner_that_cannot_be_assumed_is_asked_for_by_its_option(run: Run) -> None:
    done = run(*ENQUEUE)
    assert done.code == USAGE
    assert "--partner is missing" in done.err


@pytest.mark.parametrize(
    ("arguments", "settings", "code"),
    [
        (("list", "--state", "done"), {}, USAGE),
        (("stats",), {"KPLUS_HOEM": CANARY}, SETTINGS),
        (("show", "U1"), {"KPLUS_DATABASE_URL": "sqlite:////etc/passwd"}, UNREACHABLE),
    ],
    ids=["usage", "settings", "out of reach"],
)
def test_a_real_process_ends_with_the_same_codes(
    start: Run, arguments: tuple[str, ...], settings: dict[str, str], code: int
) -> None:
    done = start(*arguments, **settings)
    assert done.code == code
    assert _short(done.err)
    assert CANARY not in done.all()


def test_an_unforeseen_error_is_a_line_and_the_way_to_its_traceback(run: Run, home: Path) -> None:
    """A damaged table is what nobody foresees: here, a record that is no JSON."""
    url = f"sqlite:///{home}/x.db"
    assert run("db", "upgrade", KPLUS_DATABASE_URL=url).code == 0
    _damage(home / "x.db")
    done = run("actions", KPLUS_DATABASE_URL=url)
    assert done.code == 70
    assert "an unforeseen error" in done.err
    assert "kplus-cancel --debug" in done.err
    assert _short(done.err)
    told = run("--debug", "actions", KPLUS_DATABASE_URL=url)
    assert told.code == 70
    assert "Traceback" in told.err


def _damage(path: Path) -> None:
    import sqlite3  # noqa: PLC0415 - here alone the database is handled without the store

    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO operator_actions (at, who, action, target, reason, before, after)"
            " VALUES ('2026-01-01 00:00:00', 'W', 'requeue', 'U1', 'R', 'no JSON', '{}')"
        )
    connection.close()
