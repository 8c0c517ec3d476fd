"""
Keys of a TOML text: on which line each stands, and how one is written.

`tomllib` tells what a text says, but not where.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Key = tuple[str, ...]

_BARE = re.compile("[A-Za-z0-9_-]+")


def keys(text: str) -> Iterator[tuple[Key, int]]:
    """
    Yield every key of a text with the line on which its statement begins, in order.

    A table is a key too. A key that is written twice is yielded twice, so this reads texts
    that `tomllib` refuses; it ends before the first statement that it cannot read.
    """
    header = ""
    for line, statement in _statements(text):
        if statement.lstrip().startswith("["):
            header = statement
            yield from ((key, line) for key in _nested(tomllib.loads(header)))
            continue
        inside = set(_nested(tomllib.loads(header)))
        found = _nested(tomllib.loads(header + statement))
        yield from ((key, line) for key in found if key not in inside)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """
    Yield each statement with the number of its first line.

    A statement ends with the first line at which it can be read: what goes on (a string or
    an array over several lines) cannot be read before its end.
    """
    begun, first = "", 0
    # Not splitlines(): a form feed ends no line of TOML.
    for number, line in enumerate(text.split("\n"), start=1):
        first = first if begun else number
        begun += f"{line}\n"
        try:
            tomllib.loads(begun)
        except tomllib.TOMLDecodeError:
            continue
        # A number of thousands of digits, or a thousand brackets: nothing that we read.
        except (ValueError, RecursionError):
            return
        yield first, begun
        begun = ""


def _nested(document: Mapping[str, Any], above: Key = ()) -> Iterator[Key]:
    """Yield the keys of a document and of all tables in it."""
    for name, value in document.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from _nested(value, (*above, name))


def written(*key: str) -> str:
    """Return a key as TOML writes it: in quotes where it must be, and safe on a terminal."""
    return ".".join(name if _BARE.fullmatch(name) else f'"{_escaped(name)}"' for name in key)


def _escaped(name: str) -> str:
    return "".join(
        char if char.isprintable() and char not in '"\\' else f"\\U{ord(char):08x}" for char in name
    )
