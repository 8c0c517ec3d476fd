"""
Runs many `celery` command lines, each in a child of its own, for Celery is slow to load.

Run as: many_commands.py < JSON list of {"arguments", "environment"}; prints what became of each.
"""

import json
import os
import sys
import tempfile
import traceback
from typing import Any

import celery.__main__
import celery.bin.celery

# Loaded before the children, not used: loading it reads no settings.
import worker.celery  # noqa: F401


def run(arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Run one command line in a child; return its exit code and what it printed."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.environ.update(environment)
            os._exit(_celery(arguments))
        _, status = os.waitpid(child, 0)
        printed = {}
        for name, file in (("out", out), ("err", err)):
            file.seek(0)
            printed[name] = file.read().decode()
        return {"code": os.waitstatus_to_exitcode(status), **printed}


def _celery(arguments: list[str]) -> int:
    sys.argv = ["celery", "-A", "worker", *arguments]
    try:
        celery.__main__.main()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:  # noqa: BLE001 - Python would print it, too
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 1


if __name__ == "__main__":
    print(json.dumps([run(**each) for each in json.load(sys.stdin)]))  # noqa: T201
