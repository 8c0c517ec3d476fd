"""The operator, for the record of actions."""

import getpass
import os
import platform


def operator() -> str:
    """Return the user and the machine, `user@host`, at most 128 characters."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = f"uid {os.getuid()}"
    name = f"{user}@{platform.node()}"
    # Bytes that are not UTF-8 arrive as lone surrogates, which no database accepts.
    return name.encode(errors="backslashreplace").decode()[:128]
