"""Where SQLite keeps its file. Nothing else is loaded for this."""

from pathlib import Path


def sqlite_file(url: str) -> Path | None:
    """Return the file behind a database's URL, None where there is none."""
    scheme, _, path = url.partition("?")[0].partition(":///")
    if not scheme.startswith("sqlite") or path.startswith("file:") or path in {"", ":memory:"}:
        return None
    return Path(path)


def missing_file(url: str) -> Path | None:
    """
    Return the SQLite file that a URL names and nobody has made.

    Connecting would make an empty one, in whatever folder one happens to be.
    """
    path = sqlite_file(url)
    return path.absolute() if path is not None and not path.exists() else None
