"""A child that is forked while its parent uses SQLite can use it too."""

import os
import subprocess
import sys

from tests.servers.schema import ROOT, migrate
from tests.servers.waiting import LIMIT

PROGRAM = """
import os, sys, threading
from dataclasses import replace
from datetime import timedelta
from sqlalchemy import text
from worker.store import open_database
from worker.store.engine.database import TIMEOUTS
from worker.telemetry.log import configure_logging, get_logger

configure_logging()
log = get_logger("forks")

WRITE = text("INSERT INTO locks VALUES (:name)")
timeouts = replace(TIMEOUTS, lock=timedelta(seconds=2))
database = open_database(sys.argv[1], timeouts=timeouts)


def write(name):
    with open_database(sys.argv[1], timeouts=timeouts).writing() as connection:
        connection.execute(WRITE, {"name": name})


def write_on(over, began):
    while not over.is_set():
        with database.writing() as connection:
            connection.execute(text("DELETE FROM locks WHERE name = 'nobody'"))
            began.set()
            log.info("a_line_in_a_transaction")


failed = 0
for turn in range(8):
    over, began = threading.Event(), threading.Event()
    writer = threading.Thread(target=write_on, args=(over, began))
    writer.start()
    began.wait()
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(ready, 1)  # the parent writes no more
        try:
            write(f"child {turn}")
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    over.set()
    writer.join()
    os.write(go, b"x")
    failed += os.waitpid(child, 0)[1] != 0
sys.exit(f"{failed} of 8 children could not write" if failed else 0)
"""


def test_a_child_can_write_whatever_its_parent_was_doing(tmp_path: object) -> None:
    """The pool `prefork` replaces a child while the sweep of its parent is at work."""
    url = f"sqlite:///{tmp_path}/one.db"
    migrate(url)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, url],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
