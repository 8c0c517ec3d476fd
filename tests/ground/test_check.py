"""`./dev check`: every check is run and told, whatever the others found."""

import sys

import pytest

from tools import check
from tools.check import Check


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A good check, one that finds something, and one that falls over."""

    def falls() -> str:
        raise RuntimeError("out of paper")

    parts = (
        Check("good", lambda: ""),
        Check("bad", lambda: "here\nand here\n"),
        Check("broken", falls),
        Check("last", lambda: "\n"),
    )
    monkeypatch.setattr(check, "CHECKS", parts)


@pytest.mark.usefixtures("checks")
def test_a_failure_does_not_keep_the_others_from_being_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check.main([]) == 1
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [words[:2] for words in told if words[0] in "✓✗"] == [
        ["✓", "good"],
        ["✗", "bad"],
        ["✗", "broken"],
        ["✓", "last"],
    ]
    assert ["and", "here"] in told
    assert told[-1][-2:] == ["bad,", "broken"]


@pytest.mark.usefixtures("checks")
def test_named_checks_are_run_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["last", "good"]) == 0
    assert "bad" not in capsys.readouterr().out


@pytest.mark.usefixtures("checks")
def test_an_unknown_check_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["godo"]) == 2
    assert "good" in capsys.readouterr().out


def test_a_program_is_heard_only_when_it_fails() -> None:
    assert check.command(sys.executable, "-c", "print('fine')")() == ""
    assert check.command(sys.executable, "-c", "print('found'); exit(1)")() == "found\n"


def test_a_program_that_fails_without_a_word_has_failed_all_the_same() -> None:
    assert "3" in check.command(sys.executable, "-c", "exit(3)")()


def test_the_checks_have_names_of_their_own() -> None:
    names = [one.name for one in check.CHECKS]
    assert len(set(names)) == len(names)
