"""What comes from outside moves no cursor, turns no line and hides nothing on a terminal."""

import io
import json
import logging
import sys

import pytest
import structlog

from worker.cli.ui.exit_codes import explain
from worker.cli.ui.output import print_json
from worker.config.toml_faults import toml_key
from worker.errors import SettingsError
from worker.explain.text import shown
from worker.telemetry.log import configure_logging, get_logger
from worker.telemetry.printable import printable, printable_json

CHARACTERS = {
    **{f"C0 {code:02x}": chr(code) for code in range(32)},
    **{f"C1 {code:02x}": chr(code) for code in range(0x7F, 0xA0)},
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    **{f"bidi {code:04x}": chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
    "marks of direction": "\u200e\u200f\u061c",
    "no width": "\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\ufe0f\u180e",
    "fillers": "\u3164\u115f\u2800\uffa0",
    "tags": "\U000e0041\U000e0101",
    "private and unassigned": "\ue000\U0010ffff",
}
HOSTILE = "".join(CHARACTERS.values())


@pytest.mark.parametrize("name", CHARACTERS)
def test_a_character_that_is_not_seen_is_written_out(name: str) -> None:
    for text in (printable(f"a{CHARACTERS[name]}b"), shown(f"a{CHARACTERS[name]}b")):
        assert not set(text) & set(CHARACTERS[name])
        assert text.startswith("a\\")
        assert text.endswith("b")


def test_what_people_write_stays() -> None:
    for text in ("plain", "รหัสลับ ของคู่ค้า", "naïve “quoted”", "日本語", "a\\b"):
        assert printable(text) == shown(text) == text


def test_json_means_the_same_afterwards() -> None:
    value = {"text": f"{HOSTILE}é"}
    text = printable_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert not set(text) & set(HOSTILE)


def test_json_of_a_command_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"said": HOSTILE})
    told = capsys.readouterr().out
    assert not set(told) & (set(HOSTILE) - {"\n"})
    assert json.loads(told) == {"said": HOSTILE}


def test_an_error_of_a_command_is_harmless() -> None:
    for error in (SettingsError(HOSTILE), ValueError(HOSTILE)):
        for debug in (True, False):
            lines, _ = explain(error, program="kplus-cancel", debug=debug)
            assert not set("".join(lines)) & set(HOSTILE)


def test_a_key_of_a_file_is_harmless() -> None:
    assert not set(toml_key(HOSTILE)) & set(HOSTILE)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_line_of_a_log_is_one_line(monkeypatch: pytest.MonkeyPatch, *, as_json: bool) -> None:
    """Whoever can write a line break into a log can write any line."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    kept = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        configure_logging(json=as_json)
        get_logger("tests").warning("said", said=HOSTILE, **{f"key{HOSTILE}": "x"})
        logging.getLogger("theirs").warning("it said %s", HOSTILE)
        get_logger("tests").error("failed", exc_info=ValueError(HOSTILE))
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers[:] = kept[0]
        logging.getLogger().setLevel(kept[1])
    told = stream.getvalue()
    assert not set(told) & (set(HOSTILE) - {"\n"})
    assert told.splitlines()[1].count("it said") == 1
    if as_json:
        assert [json.loads(line)["level"] for line in told.splitlines()] == [
            *["warning"] * 2,
            "error",
        ]
