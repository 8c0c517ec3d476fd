"""What a person reads of attempt rows that stand for many conversations."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from worker.explain.facts import attempt_lines, conversations
from worker.explain.history import happened

NOW: Final = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
JOB: Final[dict[str, Any]] = {
    "partner_txn_uid": "U1",
    "created_at": NOW - timedelta(days=2),
    "continues": None,
    "requeued_at": None,
    "token_status": None,
    "state": "in_doubt",
}


def attempt(number: int, kind: str = "inquiry", **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "kind": kind,
        "wire_uid": "U1",
        "started_at": NOW - timedelta(hours=9),
        "finished_at": NOW - timedelta(hours=2),
        "http_status": None,
        "heard": "read_timeout",
        "decision": "doubt",
        "spent": kind == "cancel",
        "detail": "the bank said nothing",
        "folded": 0,
        "folded_minutes": None,
        **more,
    }


FOLDED: Final = attempt(
    99, folded=96, folded_minutes={"2026-11-21T08:07Z": 95, "2026-11-21T09:00Z": 1}
)
ROWS: Final = [attempt(1, "cancel"), attempt(2), FOLDED]


def test_the_history_counts_the_conversations_and_not_the_rows() -> None:
    text = "\n".join(happened(JOB, ROWS, [], NOW))
    assert "The bank was asked 99 times" in text
    assert "98 of them to learn what became of the token" in text
    assert "99 ended in doubt: read timeout." in text


def test_a_row_says_how_many_it_stands_for_and_since_when() -> None:
    assert [conversations(row) for row in ROWS] == [1, 1, 97]
    lines = list(attempt_lines(FOLDED, "U1"))
    assert lines[-1] == "and 96 conversations before it that ended alike, since 2026-11-21T08:07Z"
    assert not any("alike" in line for line in attempt_lines(ROWS[0], "U1"))
