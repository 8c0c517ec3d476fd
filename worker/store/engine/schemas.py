"""
The schema of PostgreSQL that statements name, wherever the session's `search_path` leads.

SQLAlchemy writes it before each table of ours. A setting of the session would not do: a pooler
lends sessions to others, and a session that a producer passes is not ours.
"""

from typing import Any, Final

from sqlalchemy import Connection, Engine

TRANSLATION: Final = "schema_translate_map"


def names_in(schema: str | None) -> dict[str, Any]:
    """
    Return the execution options by which statements name the tables in a schema.

    Without one they name none, on a connection that translates other tables too.
    """
    return {TRANSLATION: {None: schema} if schema else None}


def schema_of(owner: Engine | Connection) -> str | None:
    """Return the schema that the statements of an engine or connection of ours name, if any."""
    names: dict[None, str] | None = owner.get_execution_options().get(TRANSLATION)
    return names[None] if names else None
