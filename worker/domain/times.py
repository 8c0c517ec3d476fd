"""Times as text: one form for webhooks, exports and the JSON of commands. Pure."""

from datetime import UTC, datetime


def iso(at: datetime) -> str:
    """Return a time as ISO 8601 in UTC, with microseconds and Z."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
