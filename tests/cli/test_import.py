"""`import`: a file at the producers' door, told line by line, safe to repeat."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Done, Run
from tests.integration.stock import accept
from tests.servers.workers import PARTNER_ID
from worker.store import Store

HEADER = "partnerTxnUid,tokenId,reference1,partnerId,expiresAt\n"
GOOD = "".join(f"U{number},T-U{number},R1,P1,\n" for number in range(1, 6))

Import = Callable[..., Done]


@pytest.fixture
def imported(run: Run, database: str) -> Import:
    def call(*arguments: Any, **settings: str) -> Done:
        given = {"KPLUS_DATABASE_URL": database, "KPLUS_PARTNER_ID": PARTNER_ID}
        return run("import", *map(str, arguments), **given | settings)

    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + GOOD, encoding="utf-8")
    return path


def counts(done: Done) -> dict[str, int]:
    names = ("accepted", "duplicate", "conflict", "invalid")
    return {name: done.json[name] for name in names if done.json[name]}


def rows(store: Store) -> int:
    return sum(store.reports.stats().states.values())


def test_a_file_is_handed_in_and_may_be_repeated(
    imported: Import, stored: Store, file: Path
) -> None:
    first, again = imported(file), imported(file)
    assert (first.code, counts(first)) == (0, {"accepted": 5})
    assert (again.code, counts(again)) == (0, {"duplicate": 5})
    assert rows(stored) == 5
    page = imported(file, "--table")
    assert page.out.splitlines() == [
        "Lines that name an order: 5.",
        "         5  accepted before, with the same content",
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_json_lines_and_gzip_are_read_as_well(
    imported: Import, stored: Store, tmp_path: Path, *, packed: bool
) -> None:
    lines = [
        {"partnerTxnUid": "U1", "tokenId": "T", "reference1": "R", "expiresAt": 1893456000},
        {"partner_txn_uid": "U2", "token_id": "T", "reference1": "R", "other": "thing"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path = tmp_path / "orders"
    path.write_bytes(gzip.compress(text) if packed else text)
    assert counts(imported(path)) == {"accepted": 2}
    file = stored.reports.file("U1")
    assert file is not None
    assert (file.job["partner_id"], file.job["expires_at"].year) == (PARTNER_ID, 2030)


def test_refused_lines_stop_nobody_and_are_told_with_number_and_reason(
    imported: Import, stored: Store, file: Path, tmp_path: Path
) -> None:
    accept(stored, "U2")
    lines = GOOD.splitlines()
    lines[1] = "U2,hidden-token,R1,P1,"
    lines.insert(3, "U9,T 9,R1,P1,")
    lines.insert(0, "only,two")
    lines.append("U10,T,R,P1,tomorrow")
    file.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    report = tmp_path / "refused.jsonl"
    done = imported(file, "--report", report)
    assert (done.code, counts(done)) == (1, {"accepted": 4, "conflict": 1, "invalid": 3})
    told = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    assert [(each["line"], each["reason"]) for each in told] == [
        (2, "invalid"),
        (4, "conflict"),
        (6, "invalid"),
        (9, "invalid"),
    ]
    assert "the line has 2 columns, the header 5" in told[0]["detail"]
    assert told[1]["partner_txn_uid"] == "U2"
    assert "tokenId" in told[2]["detail"]
    assert "expiresAt" in told[3]["detail"]
    assert done.json["refused"] == told
    page = imported(file, "--table")
    assert "line 2: not_csv: the line has 2 columns" in page.err
    assert "hidden-token" not in page.all() + report.read_text(encoding="utf-8")
    assert stored.rejected_messages.counts() == {"conflict": 1}


def test_a_pipe_is_read(start: Run, stored: Store, database: str) -> None:
    given = {"KPLUS_DATABASE_URL": database, "KPLUS_PARTNER_ID": PARTNER_ID}
    done = start("import", "-", "--json", text=HEADER + GOOD, **given)
    assert (done.code, counts(done)) == (0, {"accepted": 5})
    assert rows(stored) == 5


def test_a_dry_run_stores_nothing(imported: Import, stored: Store, file: Path) -> None:
    accept(stored, "U2")
    done = imported(file, "--dry-run")
    assert counts(done) == {"accepted": 4, "duplicate": 1}
    assert rows(stored) == 1
    assert stored.rejected_messages.counts() == {}
    assert "Nothing was stored" in imported(file, "--dry-run", "--table").out


def test_a_damaged_file_says_how_far_it_was_read_and_is_repeated_when_mended(
    imported: Import, stored: Store, file: Path
) -> None:
    many = "".join(f"N{number:06},T{number * 7919 % 10007},R1,P1,\n" for number in range(5000))
    whole = gzip.compress((HEADER + many).encode())
    file.write_bytes(whole[: len(whole) * 2 // 3])
    done = imported(file)
    assert done.code == 2
    assert "the file is damaged" in done.err
    assert "handed in up to line" in done.err
    assert 0 < rows(stored) < 5000
    before = rows(stored)
    file.write_bytes(whole)
    assert counts(imported(file)) == {"accepted": 5000 - before, "duplicate": before}


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_none_that_fails(imported: Import, file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    done = imported(file)
    assert (done.code, counts(done)) == (0, {})


def test_a_file_of_another_kind_is_refused_as_a_whole(imported: Import, file: Path) -> None:
    file.write_text("<orders/>\n", encoding="utf-8")
    done = imported(file)
    assert (done.code, done.out) == (2, "")
    assert "CSV header" in done.err


def test_a_file_that_is_not_there_is_a_usage_error(imported: Import) -> None:
    assert imported("/no/such/file").code == 2
