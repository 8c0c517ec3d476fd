"""The environment of the other libraries: `./dev bench peers` makes it beside our own."""

import re
import sys
from pathlib import Path

PINNED = Path(__file__).with_name("requirements.txt")


class NoEnvironment(Exception):
    """The other libraries are not installed; the text says what to do."""


def folder() -> Path:
    """Return where the environment is, or would be."""
    ours = Path(sys.prefix)
    return ours.with_name(f"{ours.name}-peers")


def python() -> Path:
    """Return its Python."""
    found = folder() / "bin" / "python"
    if not found.exists():
        raise NoEnvironment(
            "the other libraries are not installed; `./dev bench peers` installs them"
        )
    return found


def versions() -> dict[str, str]:
    """Return the one version of each library that is pinned."""
    pins = re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([\w.]+)", PINNED.read_text(), re.MULTILINE)
    return dict(pins)
