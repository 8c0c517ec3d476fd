"""`reconcile --manifest`: two lists compared, told by exit code, as JSON and in words."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.test_requeue import end
from tests.integration.stock import CANCELLED, PAID, accept
from tests.servers.waiting import eventually
from tests.servers.workers import COMMAND, PARTNER_ID, clean_environment
from worker.store import Store

HEADER = "partnerTxnUid,tokenId,reference1,partnerId,expectedOutcome\n"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Of five orders one agrees, and each of the others differs in another way."""
    path = tmp_path / "manifest.csv"
    lines = (
        "U1,T-U1,R1,P1,cancelled",
        "U2,T-U2,R1,P1,cancelled",
        "U3,other,R1,P1,",
        "U4,T-U4,R1,P1,",
        "U5,T 5,R1,P1,",
    )
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_differences_are_counted_shown_and_told_by_the_exit_code(
    run: Run, stored: Store, database: str, manifest: Path
) -> None:
    end(stored, CANCELLED, "U1", "U9")
    end(stored, PAID, "U2")
    accept(stored, "U3")
    given = ("reconcile", "--manifest", str(manifest), "--since", "1h")
    done = run(*given, KPLUS_DATABASE_URL=database)
    assert done.code == 1
    assert done.json["counts"] == {
        "refused": 1,
        "not_here": 1,
        "other_content": 1,
        "other_outcome": 1,
        "not_in_manifest": 1,
        "not_final": 0,
    }
    assert (done.json["orders"], done.json["agrees"]) == (4, False)
    assert done.json["outcomes"] == {"cancelled": 1}
    named = {each["kind"]: each.get("partner_txn_uid") for each in done.json["examples"]}
    assert named == {
        "refused": None,
        "not_here": "U4",
        "other_content": "U3",
        "other_outcome": "U2",
        "not_in_manifest": "U9",
    }
    page = run(*given, "--table", KPLUS_DATABASE_URL=database)
    assert page.code == 1
    for words in (
        "Orders in the manifest: 4.",
        "line 3: U2: refused, outcome paid, expected cancelled",
        "line 6: invalid_fields: tokenId: must be printable ASCII",
        "U9: succeeded, outcome cancelled",
        "✗ The two differ.",
    ):
        assert words in page.out
    assert "T 5" not in page.all()


def test_lists_that_agree_end_with_nought(
    run: Run, stored: Store, database: str, tmp_path: Path
) -> None:
    end(stored, CANCELLED, "U1")
    path = tmp_path / "manifest.jsonl"
    told = {"partnerTxnUid": "U1", "tokenId": "T-U1", "reference1": "R1", "partnerId": "P1"}
    path.write_text(json.dumps(told), encoding="utf-8")
    done = run("reconcile", "--manifest", str(path), "--table", KPLUS_DATABASE_URL=database)
    assert done.code == 0
    assert "✓ The two agree." in done.out
    assert "were not looked for: say --since" in done.out
    told_json = run("reconcile", "--manifest", str(path), KPLUS_DATABASE_URL=database).json
    assert told_json["counts"]["not_in_manifest"] is None


def test_what_is_missing_is_accepted_on_a_clear_yes_and_once(
    run: Run, stored: Store, database: str, manifest: Path
) -> None:
    given = ("reconcile", "--manifest", str(manifest), "--enqueue")
    refused = run(*given, KPLUS_DATABASE_URL=database)
    assert refused.code == 2
    assert "this would enqueue 4 jobs: say --yes" in refused.err
    looked = run(*given, "--dry-run", KPLUS_DATABASE_URL=database).json
    assert (looked["accepted"], looked["counts"]["not_here"]) == (0, 4)
    assert stored.reports.jobs() == []
    for accepted in (4, 0):
        done = run(*given, "--yes", KPLUS_DATABASE_URL=database)
        assert (done.json["accepted"], done.json["counts"]["not_here"]) == (accepted, 0)
        # The line that could not be read is still a difference.
        assert done.code == 1
    assert len(stored.reports.jobs()) == 4


def test_orders_of_a_partner_that_is_not_configured_are_warned_of_or_refused(
    run: Run, stored: Store, database: str, manifest: Path
) -> None:
    given = ("reconcile", "--manifest", str(manifest), "--enqueue", "--yes")
    known = {"KPLUS_PARTNER_ID": "KP-ELSE", "KPLUS_PARTNER_SECRET": "s3cret-of-another"}
    settings = {"KPLUS_DATABASE_URL": database, **known}
    refused = run(*given, **settings, KPLUS_UNKNOWN_PARTNER="refuse")
    assert (refused.code, refused.json["accepted"], refused.json["warnings"]) == (1, 0, [])
    counts = refused.json["counts"]
    assert (counts["refused"], counts["not_here"]) == (5, 0)
    assert stored.reports.jobs() == []
    told = "partner P1 is not configured here (known: KP-ELSE)"
    details = [each.get("detail") for each in refused.json["examples"]]
    assert f"unknown_partner: {told}" in details
    settings["KPLUS_UNKNOWN_PARTNER"] = "warn"
    warned = run(*given, **settings).json
    assert (warned["accepted"], warned["warnings"]) == (4, [{"warning": told, "lines": 4}])
    assert run(*given, **settings).json["warnings"] == []


def test_a_run_that_is_killed_is_finished_by_the_next_and_nothing_is_stored_twice(
    start: Run, stored: Store, database: str, tmp_path: Path
) -> None:
    path, many = tmp_path / "manifest.csv", 5000
    path.write_text(HEADER + "".join(f"U{n},T{n},R1,P1,\n" for n in range(many)), encoding="utf-8")
    given = ("reconcile", "--manifest", str(path), "--enqueue", "--yes", "--limit", "0")
    process = subprocess.Popen(
        [*COMMAND, *given],
        env=clean_environment() | {"KPLUS_DATABASE_URL": database},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    eventually(lambda: stored.reports.stats().due > 0)
    process.kill()
    process.wait()
    before = stored.reports.stats().due
    assert before % 1000 == 0
    done = start(*given, KPLUS_DATABASE_URL=database)
    assert (done.code, done.json["accepted"]) == (0, many - before)
    assert stored.reports.stats().due == many


def test_a_manifest_comes_through_a_pipe_and_names_the_one_partner_or_none(
    start: Run, partner: dict[str, str], database: str
) -> None:
    text = "partnerTxnUid,tokenId,reference1\nU1,T1,R1\n"
    given = ("reconcile", "--manifest", "-", "--enqueue", "--yes")
    done = start(*given, text=text, **partner, KPLUS_DATABASE_URL=database)
    assert (done.code, done.json["accepted"]) == (0, 1)
    found = start("show", "U1", **partner, KPLUS_DATABASE_URL=database).json
    assert found["partner_id"] == PARTNER_ID


def test_examples_are_bounded_and_all_differences_go_to_a_file(
    run: Run, database: str, manifest: Path, tmp_path: Path
) -> None:
    details = tmp_path / "details.jsonl"
    given = ("reconcile", "--manifest", str(manifest), "--limit", "1", "--details", str(details))
    done = run(*given, KPLUS_DATABASE_URL=database)
    assert len(done.json["examples"]) == 2
    rows = [json.loads(line) for line in details.read_text(encoding="utf-8").splitlines()]
    assert [row["kind"] for row in rows] == ["refused", *["not_here"] * 4]
    assert rows[0]["line"] == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--enqueue",), "--enqueue needs --manifest"),
        (("--since", "1h"), "--since needs --manifest or --audit"),
        (("--until", "1h", "--enqueue"), "--enqueue and --until need --manifest"),
        (("--manifest", "{}", "--audit", "5"), "exclude each other"),
        (("--manifest", "nowhere"), "No such file"),
        (("--manifest", "{}", "--until", "1h"), "--until needs an earlier --since"),
        (("--manifest", "{}", "--since", "1h", "--until", "2h"), "--until needs an earlier"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    run: Run, database: str, manifest: Path, arguments: tuple[str, ...], words: str
) -> None:
    given = (each.format(manifest) for each in arguments)
    done = run("reconcile", *given, KPLUS_DATABASE_URL=database)
    assert done.code == 2
    assert words in done.err


def test_a_file_that_is_no_manifest_says_what_one_is(
    run: Run, database: str, tmp_path: Path
) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("name,price\n", encoding="utf-8")
    done = run("reconcile", "--manifest", str(path), KPLUS_DATABASE_URL=database)
    assert done.code == 2
    assert "names partnerTxnUid, tokenId, reference1" in done.err
