"""The file of an SQLite database, and its URL; importing this loads no library."""

from pathlib import Path
from urllib.parse import quote, unquote

_BEGINNING = "sqlite:///"


def sqlite_url(path: Path) -> str:
    """Return the URL of a file: `%20`, `?` and `#` in its name stand for themselves."""
    return f"{_BEGINNING}{quote(str(path))}"


def sqlite_file(url: str) -> Path | None:
    """Return the file of a database's URL, as SQLAlchemy reads it, or None if it has none."""
    scheme, _, path = url.partition("?")[0].partition(":///")
    if not scheme.startswith("sqlite") or path.startswith("file:") or path in {"", ":memory:"}:
        return None
    return Path(unquote(path))


def missing_file(url: str) -> Path | None:
    """
    Return the SQLite file of a URL if it does not exist, else None.

    Connecting would create an empty one, perhaps in the wrong working folder.
    """
    path = sqlite_file(url)
    return path.absolute() if path is not None and not path.exists() else None
