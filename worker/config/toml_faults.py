"""What is wrong with a TOML file, by key. Of its content only keys are ever told."""

import re
import tomllib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

NOT_READ = "cannot be read: "
_BARE = re.compile("[A-Za-z0-9_-]+")


class TomlFaults(Exception):
    """What is wrong with a file, each fault as it is said after the file's name."""

    def __init__(self, faults: Iterable[str]) -> None:
        super().__init__()
        self.faults = list(faults)


def decode(content: bytes) -> str:
    """Return the text of a file. Raises `TomlFaults`."""
    try:
        # With a line end, so that a fault in the last line is told with that line's number.
        return content.decode("utf-8-sig") + "\n"
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TomlFaults([f", line {line}: {NOT_READ}it is not UTF-8 text"]) from None


def parse(text: str) -> dict[str, Any]:
    """Return what a text says. Raises `TomlFaults`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TomlFaults([f": {NOT_READ}{error}"]) from None
    except (ValueError, RecursionError):
        why = "a number is too long, or brackets stand too deep"
        raise TomlFaults([f": {NOT_READ}{why}"]) from None


def judged(error: ValidationError, *, known: Iterable[str]) -> TomlFaults:
    """Return the faults that a model found in a file whose tables should be the `known` ones."""
    items = error.errors(include_input=False, include_url=False)
    return TomlFaults(f": {_fault(item, known)}" for item in items)


def _fault(item: Any, known: Iterable[str]) -> str:
    """
    Return one fault with its key.

    A rule about a table's words names the `word`, perhaps with the `first` that is the same.
    """
    told = item.get("ctx", {})
    key = (*map(str, item["loc"]), *([told["word"]] if "word" in told else []))
    said = {
        "enum": f"must be {told.get('expected')}",
        "extra_forbidden": f"there is no such table, only {', '.join(known)}",
        "dict_type": f"must be a table: [{written(*key)}]",
    }.get(item["type"], item["msg"])
    if "first" in told:
        said += f", first as {written(told['first'])}"
    return f"{written(*key)}: {said}"


def written(*key: str) -> str:
    """Return a key as TOML writes it: in quotes where it must be, and safe on a terminal."""
    return ".".join(name if _BARE.fullmatch(name) else f'"{_escaped(name)}"' for name in key)


def _escaped(name: str) -> str:
    return "".join(
        char if char.isprintable() and char not in '"\\' else f"\\U{ord(char):08x}" for char in name
    )
