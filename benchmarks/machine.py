"""What a run was measured on: figures mean nothing without it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("celery", "kombu", "redis", "httpx", "SQLAlchemy", "psycopg")


def described() -> str:
    """Return the machine and the versions, in one line each."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    processors = len(os.sched_getaffinity(0))
    return (
        f"{processors} processors ({_model()}), load {os.getloadavg()[0]:.1f} at the start\n"
        f"Python {platform.python_version()}, {packages}"
    )


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
