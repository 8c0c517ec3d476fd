"""Files and folders that their owner alone may read, whatever the umask: orders stand in them."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
OURS: Final = (
    "kplus-cancel.db",
    "kplus-cancel.db-*",
    "demo.db",
    "demo.db-*",
    "broker.*",
    ".broker.*",
    "schema.lock",
    "worker.log",
    "workers",
    "workers/*.json",
    "workers/*.new",
)
"""What stands in KPLUS_HOME."""


def private_file(path: Path, flags: int = 0) -> int:
    """Open a file for reading and writing, make it if there is none, and return its number."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | flags, FILE_MODE)
    # A umask can only take away; a file that was there may be open to others.
    with suppress(OSError):
        os.fchmod(number, FILE_MODE)
    return number


def private_folder(path: Path) -> None:
    """Make a folder if there is none. One that exists is left as it is."""
    with suppress(FileExistsError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=FOLDER_MODE)
        path.chmod(FOLDER_MODE)
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is not a folder")


def make_private(home: Path) -> None:
    """
    Set right what older versions, or a wide umask, left open in a home.

    The folder itself only if it holds nothing but ours: somebody may have named a shared one.
    """
    for path in open_to_others(home):
        mine = path != home or _holds_only_ours(home)
        with suppress(OSError):
            if mine and path.lstat().st_uid == os.getuid():
                path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)


def open_to_others(home: Path) -> list[Path]:
    """Return the folder and the files of a home that other users may read or change."""
    return [path for path in (home, *_ours(home)) if _is_open(path)]


def _ours(home: Path) -> Iterator[Path]:
    for pattern in OURS:
        yield from home.glob(pattern)


def _holds_only_ours(home: Path) -> bool:
    ours = set(_ours(home))
    return all(path in ours for path in home.iterdir())


def _is_open(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return not stat.S_ISLNK(status.st_mode) and bool(stat.S_IMODE(status.st_mode) & 0o077)
