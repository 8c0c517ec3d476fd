"""Who acts: the user and the machine, as the record keeps it."""

import getpass
import os
import platform


def operator() -> str:
    """Return who acts: the user and the machine, as the record keeps it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = f"uid {os.getuid()}"
    return f"{user}@{platform.node()}"[:128]
