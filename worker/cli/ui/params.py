"""Types of options: texts, times, ages, reasons."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from worker.domain.orders import Instant
from worker.domain.validation import error_lines
from worker.store import MIN_AGE, NewExpiry

_AGO = re.compile(r"([0-9]{1,6})\s*(s|m|min|h|d)\Z")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
LONGEST_AGE = timedelta(days=36_500)
LONGEST_SEARCH = 200
_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)


class Words(click.ParamType[str]):
    """
    Text that can be sent to a database.

    Bytes of the command line that are not UTF-8 arrive as lone surrogates, which no database
    accepts.
    """

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail(f"{text!r} is not UTF-8 text", param, ctx)
        return text


class SearchText(Words):
    """Text to look for in what is stored; nothing stored is longer."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, which must not be blank."""
        text = super().convert(value, param, ctx)
        if not text.strip() or len(text) > LONGEST_SEARCH:
            self.fail(f"give 1 to {LONGEST_SEARCH} characters, not only blanks", param, ctx)
        return text


class Since(click.ParamType[datetime]):
    """A time in the past: `90m`, `2h`, `7d`, or ISO 8601 with an offset."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the time as aware UTC."""
        if isinstance(value, datetime):
            return value
        try:
            return _past(value.strip())
        except OverflowError:
            self.fail(f"{value!r} is before the calendar begins", param, ctx)
        except ValueError:
            self.fail(
                f"{value!r} is neither an age (90m, 2h, 7d) nor ISO 8601 with an offset "
                "(2026-11-22T08:00:00+07:00)",
                param,
                ctx,
            )


def _past(text: str) -> datetime:
    """Read an age or a time, as aware UTC. Raises ValueError, OverflowError."""
    if ago := _AGO.match(text):
        return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError
    return at.astimezone(UTC)


class Age(click.ParamType[timedelta]):
    """How old something must be to be pruned: `90d`, `48h`; a day at least."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the age."""
        if isinstance(value, timedelta):
            return value
        found = _AGO.match(value.strip())
        age = timedelta(seconds=int(found[1]) * _SECONDS[found[2]]) if found else timedelta(0)
        if not MIN_AGE <= age <= LONGEST_AGE:
            self.fail(f"{value!r} is not an age of at least a day, such as 90d", param, ctx)
        return age


class Expiry(click.ParamType[NewExpiry]):
    """When a token expires: Unix seconds, ISO 8601 with an offset, or `never`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the expiry, which must lie in the future."""
        if isinstance(value, NewExpiry):
            return value
        if value.strip() == "never":
            return NewExpiry(None)
        try:
            at = _INSTANT.validate_python(value)
        except ValidationError as error:
            self.fail(f"{'; '.join(error_lines(error))}, or never", param, ctx)
        if at <= datetime.now(UTC):
            self.fail("lies in the past", param, ctx)
        return NewExpiry(at)


LONGEST_REASON = 500


class Reason(click.ParamType[str]):
    """A reason, for the operators who read the record."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, which must not be blank."""
        text = str(value).strip()
        if not text or len(text) > LONGEST_REASON or not text.isprintable():
            self.fail(f"say why in 1 to {LONGEST_REASON} printable characters", param, ctx)
        return text
