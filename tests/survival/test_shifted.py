"""The wrong clock: what the product and Celery see of the time, and what stays true."""

import subprocess
import sys

from tests.servers.workers import clean_environment

ASK = """
import time, datetime
from tests.survival import shifted
real = time.time
shifted.shift(3600)
import kombu.transport.redis as transport
from worker.store import database
print(database.datetime.now(database.UTC).timestamp() - real())
print(transport.time() - real())
print(isinstance(datetime.datetime.now(), database.datetime))
"""


def test_every_clock_of_the_day_is_wrong_by_as_much() -> None:
    told = subprocess.run(
        [sys.executable, "-c", ASK],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert all(abs(float(each) - 3600) < 60 for each in told[:2])
    assert told[2] == "True"
