"""Options of a URL that PostgreSQL's client does not know."""

import difflib

from sqlalchemy.engine import URL

from worker.errors import StoreUnsuitable


def check_options(url: URL) -> None:
    """Raise `StoreUnsuitable` at an option that nobody knows. It connects to nothing."""
    # Imported here: a program on SQLite needs no psycopg.
    from psycopg.pq import Conninfo  # noqa: PLC0415

    known = {each.keyword.decode() for each in Conninfo.get_defaults()}
    for name in sorted(set(url.query) - known):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        # Its name is not shown: it may be the rest of a password that has a question mark.
        raise StoreUnsuitable(
            f"KPLUS_DATABASE_URL has an option that PostgreSQL's client does not know{hint}",
            "take it out; in a password ? is written %3F, and & is %26",
        )
