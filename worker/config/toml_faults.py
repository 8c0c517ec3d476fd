"""What is wrong with a TOML file, by line and key. Of its content only keys are ever told."""

import tomllib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from worker.config.toml_lines import Key, keys, written

NOT_READ = "cannot be read: "


class TomlFaults(Exception):
    """What is wrong with a file, each fault as it is said after the file's name."""

    def __init__(self, faults: Iterable[str]) -> None:
        super().__init__()
        self.faults = list(faults)


def decode(content: bytes) -> str:
    """Return the text of a file. Raises `TomlFaults`."""
    try:
        # A last line end of its own, so that no fault is "at the end of the document".
        return content.decode("utf-8-sig").replace("\r\n", "\n") + "\n"
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TomlFaults([f", line {line}: {NOT_READ}it is not UTF-8 text"]) from None


def parse(text: str) -> dict[str, Any]:
    """Return what a text says. Raises `TomlFaults`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TomlFaults([_twice(text, str(error)) or f": {NOT_READ}{error}"]) from None
    except (ValueError, RecursionError):
        why = "a number is too long, or brackets stand too deep"
        raise TomlFaults([f": {NOT_READ}{why}"]) from None


def judged(error: ValidationError, text: str, *, known: Iterable[str]) -> TomlFaults:
    """Return the faults that a model found in a text whose tables should be the `known` ones."""
    lines: dict[Key, int] = {}
    for key, line in keys(text):
        lines.setdefault(key, line)
    items = error.errors(include_input=False, include_url=False)
    faults = sorted(_fault(item, lines, known) for item in items)
    return TomlFaults(f", line {line or '?'}: {fault}" for line, fault in faults)


def _fault(item: Any, lines: dict[Key, int], known: Iterable[str]) -> tuple[int, str]:
    """
    Return one fault and its line.

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
        earlier = (*key[:-1], told["first"])
        said += f", first as {written(earlier[-1])} on line {lines.get(earlier, '?')}"
    return lines.get(key, 0), f"{written(*key)}: {said}"


def _twice(text: str, said: str) -> str:
    """Return the fault of a key that is written twice, an empty string where it is another."""
    _, _, at = said.rpartition("(at line ")
    number = at.partition(",")[0]
    if not said.startswith("Cannot ") or not number.isdigit():
        return ""
    first: dict[Key, int] = {}
    again: tuple[Key, int] | None = None
    # The faulty statement is the last one up to there, and its last key the one that it adds.
    for key, line in keys("\n".join(text.split("\n")[: int(number)])):
        again = (key, line) if key in first else None
        first.setdefault(key, line)
    if again is None:
        return ""
    key, line = again
    return f", line {line}: {written(*key)}: is written twice, first on line {first[key]}"
