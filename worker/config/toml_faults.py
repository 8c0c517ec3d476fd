"""What is wrong with a TOML file, by key. Errors quote the keys of the file and nothing else."""

import re
import tomllib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from worker.telemetry.printable import is_seen

NOT_READ = "cannot be read: "
_BARE = re.compile("[A-Za-z0-9_-]+")


class TomlFaults(Exception):
    """The faults of a file; each is a text to follow the file's name."""

    def __init__(self, faults: Iterable[str]) -> None:
        super().__init__()
        self.faults = list(faults)


def decode(content: bytes) -> str:
    """Return the text of a file. Raises `TomlFaults`."""
    try:
        # With a final line end, so that a fault in the last line is reported with its number.
        return content.decode("utf-8-sig") + "\n"
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TomlFaults([f", line {line}: {NOT_READ}it is not UTF-8 text"]) from None


def parse(text: str) -> dict[str, Any]:
    """Return the document in a text. Raises `TomlFaults`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TomlFaults([f": {NOT_READ}{error}"]) from None
    except (ValueError, RecursionError):
        detail = "a number is too long, or brackets stand too deep"
        raise TomlFaults([f": {NOT_READ}{detail}"]) from None


def model_faults(error: ValidationError, *, known: Iterable[str]) -> TomlFaults:
    """Return the faults that a model found in a file; its tables may be the `known` ones only."""
    items = error.errors(include_input=False, include_url=False)
    return TomlFaults(f": {_fault(item, known)}" for item in items)


def _fault(item: Any, known: Iterable[str]) -> str:
    """
    Return one fault with its key.

    The context of a rule about words names the `word`, and the `first` word that equals it.
    """
    context = item.get("ctx", {})
    key = (*map(str, item["loc"]), *([context["word"]] if "word" in context else []))
    text = {
        "enum": f"must be {context.get('expected')}",
        "extra_forbidden": f"there is no such table, only {', '.join(known)}",
        "dict_type": f"must be a table: [{toml_key(*key)}]",
    }.get(item["type"], item["msg"])
    if "first" in context:
        text += f", first as {toml_key(context['first'])}"
    return f"{toml_key(*key)}: {text}"


def toml_key(*key: str) -> str:
    """Return a key as TOML writes it: in quotes where it must be, and safe on a terminal."""
    return ".".join(name if _BARE.fullmatch(name) else f'"{_escaped(name)}"' for name in key)


def _escaped(name: str) -> str:
    return "".join(
        char if is_seen(char) and char not in '"\\' else f"\\U{ord(char):08x}" for char in name
    )
