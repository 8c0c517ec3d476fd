"""The wrong clock: what the product and Celery see of the time, and what stays true."""

import subprocess
import sys
from pathlib import Path

from tests.servers.workers import clean_environment

ASK = """
import datetime, pathlib, sys, time
from tests.survival import shifted
real = time.time
shifted.shift(shifted.told(sys.argv[1]))
import kombu.transport.redis as transport
from worker.store.engine import database
print(database.datetime.now(database.UTC).timestamp() - real())
print(transport.time() - real())
print(isinstance(datetime.datetime.now(), database.datetime))
"""
JUMP = """
pathlib.Path(sys.argv[1]).write_text("-3600")
print(database.datetime.now(database.UTC).timestamp() - real())
print(transport.time() - real())
"""


def _asked(script: str, word: str) -> list[str]:
    return subprocess.run(
        [sys.executable, "-c", script, word],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()


def test_every_clock_of_the_day_is_wrong_by_as_much() -> None:
    told = _asked(ASK, "3600")
    assert all(abs(float(each) - 3600) < 60 for each in told[:2])
    assert told[2] == "True"


def test_a_clock_jumps_while_it_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    path.write_text("3600", encoding="ascii")
    told = _asked(ASK + JUMP, str(path))
    assert all(abs(float(each) - 3600) < 60 for each in told[:2])
    assert all(abs(float(each) + 3600) < 60 for each in told[3:])
