"""A log line stays whole, whoever else writes, and loses nothing but itself."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from tests.integration import log_lines
from tests.servers.waiting import LIMIT
from tests.servers.workers import clean_environment
from tools.tree import ROOT


def played(what: str, **env: str) -> list[dict[str, str]]:
    """Return the lines that the program in `log_lines` wrote into a pipe, each read as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.log_lines", what],
        cwd=ROOT,
        env=clean_environment() | env,
        stderr=subprocess.PIPE,
        timeout=LIMIT,
        check=True,
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


# An image sets it, and a stream without a buffer is torn more easily.
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_lines_of_many_threads_do_not_tear_each_other(unbuffered: str) -> None:
    lines = played("at_once", PYTHONUNBUFFERED=unbuffered)
    each = log_lines.THREADS * log_lines.LINES
    assert Counter(line["logger"] for line in lines) == {"ours": each * 3 // 4, "theirs": each // 4}
    words = [line["event"].split() for line in lines]
    assert len({(thread, number) for thread, number, _ in words}) == each
    assert all(
        len(text) == log_lines.size(int(thread), int(number)) for thread, number, text in words
    )


def test_a_fork_in_the_middle_of_a_line_harms_neither_side() -> None:
    """The child has a copy of the lock and of the buffer, and no thread that would let go."""
    lines = played("forked", PYTHONUNBUFFERED="")
    assert Counter(len(line["event"]) for line in lines) == {log_lines.LONG: 1, len("child"): 2}


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_signal_in_the_middle_of_a_line_does_not_cut_it_short(unbuffered: str) -> None:
    lines = played("interrupted", PYTHONUNBUFFERED=unbuffered)
    assert [line["logger"] for line in lines] == [
        *["ours"] * log_lines.INTERRUPTED,
        *["theirs"] * log_lines.INTERRUPTED,
    ]
    assert {len(line["event"]) for line in lines} == {log_lines.LONG}


def test_a_line_that_cannot_be_written_is_lost_and_nothing_else_is() -> None:
    assert Counter(line["logger"] for line in played("broken")) == {"ours": 1, "theirs": 1}


def test_the_level_that_is_set_last_holds_for_a_logger_that_was_used_before() -> None:
    assert [line["event"] for line in played("set_again")] == ["WARNING"]
