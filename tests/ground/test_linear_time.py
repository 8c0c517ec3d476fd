"""
No text from outside takes more than linear time: every pattern of the tree, and what uses them.

Each pattern is found in the source and tried with texts made for it: a beginning, something
repeated, and an end that does not fit. Twice the text may take about twice the time. What is
compared is processor time, the best of several, and only where it is long enough to be measured.
"""

import ast
import importlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

from tests.servers.secret_forms import forms
from tools.tree import ROOT
from worker.broker.consumer.reports import InvalidMessage, report_of
from worker.domain.cells import marked, unmarked
from worker.domain.kplus import read_envelope, read_short_code
from worker.domain.orders import read_message
from worker.domain.retry_after import read_retry_after
from worker.errors import InvalidOrder
from worker.telemetry import known_secrets
from worker.telemetry.printable import printable, printable_json
from worker.telemetry.redaction import is_clean, protect, redact, redact_cut, redact_value

USES = {"search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
LENGTH = 20_000
TRIES = 3
MEASURABLE_SECONDS = 0.03
"""A linear pattern takes less for so short a text, however slow the machine is."""
ENOUGH_SECONDS = 0.1
"""What is measured for so long is measured once."""
MOST = 3.0
"""Twice the text may take so many times as long; four times would be quadratic."""
MADE_WHILE_RUNNING = {"worker.telemetry.known_secrets": 2}
"""Patterns that are made of values, in functions: a pattern of each kind is in `EXAMPLES`."""
EXAMPLES = {
    "worker.telemetry.known_secrets: words": known_secrets._prepared(  # noqa: SLF001
        frozenset({"test", "KP2X", "a.b"})
    ).words
}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PIECES = (*"aA0 .:@/%\\\"'`&;=#-_+!<>()[]{},\n\t\0~", "é", "%41", "\\u0041", "&#65;", "://")
SECRETS = (
    "canary+c2VjcmV0/b2Yt/dGhlLXBhcnRuZXI==",
    "p@ss(CANARY12)",
    "canary \"odd\" \\sec/ret\\ <&> 100% 'so'",
    "aaaaaaaab",
)


@dataclass(frozen=True)
class Found:
    """A pattern of the source, and the methods that it is used by."""

    pattern: re.Pattern[str] | re.Pattern[bytes]
    uses: frozenset[str]

    def run(self, text: str) -> None:
        """Use the pattern as the source does."""
        given = text.encode(errors="replace") if isinstance(self.pattern.pattern, bytes) else text
        for use in self.uses:
            method = getattr(self.pattern, use)
            if use in {"sub", "subn"}:
                method(given[:0], given)
            elif use == "finditer":
                list(method(given))
            else:
                method(given)


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "worker").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def compiled(tree: ast.AST) -> list[ast.Call]:
    """Return every call of a function of `re`."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in USES | {"compile"}
    ]


def in_functions(tree: ast.Module) -> list[ast.Call]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [call for function in functions for call in compiled(function)]


def patterns_in(value: object) -> Iterator[re.Pattern[str] | re.Pattern[bytes]]:
    """Yield the patterns of a value, of dicts and tuples in it too."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from patterns_in(each)


def patterns_of(module: ModuleType) -> dict[str, re.Pattern[str] | re.Pattern[bytes]]:
    """Return the patterns that the names of a module hold."""
    found: dict[str, re.Pattern[str] | re.Pattern[bytes]] = {}
    for name, value in vars(module).items():
        held = list(patterns_in(value))
        for at, each in enumerate(held):
            found[f"{name}[{at}]" if len(held) > 1 else name] = each
    return found


def uses_of(name: str, text: str) -> frozenset[str]:
    """Return by which methods a name is used; by `sub` if that is not to be seen."""
    found = re.findall(rf"\b{re.escape(name)}\.(\w+)\(", text)
    return frozenset(found) & USES or frozenset({"sub"})


def registry() -> dict[str, Found]:
    """Return every pattern of the tree, by its place."""
    found: dict[str, Found] = {}
    for name, tree in sources():
        calls = compiled(tree)
        if not calls:
            continue
        module = importlib.import_module(name)
        text = Path(str(module.__file__)).read_text(encoding="utf-8")
        for held, pattern in patterns_of(module).items():
            found[f"{name}: {held}"] = Found(pattern, uses_of(held.partition("[")[0], text))
        for call in in_functions(tree):
            if call.func.attr == "compile":  # type: ignore[attr-defined]
                continue
            argument = call.args[0]
            source: Any = (
                argument.value
                if isinstance(argument, ast.Constant)
                else getattr(module, ast.unparse(argument))
            )
            found[f"{name}: line {call.lineno}"] = Found(
                re.compile(source),
                frozenset({str(call.func.attr)}),  # type: ignore[attr-defined]
            )
    for name, example in EXAMPLES.items():
        assert example is not None
        found[name] = Found(example, frozenset({"sub", "search"}))
    return found


REGISTRY = registry()


def seconds(run: Callable[[str], object], text: str) -> float:
    taken = []
    for _ in range(TRIES):
        begun = time.process_time()
        run(text)
        taken.append(time.process_time() - begun)
        if sum(taken) < MEASURABLE_SECONDS or sum(taken) > ENOUGH_SECONDS:
            break
    return min(taken)


def is_linear(
    run: Callable[[str], object], make: Callable[[int], str], *, length: int = LENGTH
) -> bool:
    """Say whether twice the text takes about twice the time."""
    for _ in range(TRIES):
        long = seconds(run, make(length))
        if long < MEASURABLE_SECONDS or long < MOST * seconds(run, make(length // 2)):
            return True
    return False


def repeated(before: str, piece: str, after: str) -> Callable[[int], str]:
    return lambda length: before + piece * (length // len(piece)) + after


def hostile(pattern: str, seed: int) -> Iterator[tuple[str, str, str]]:
    """Yield a beginning, what is repeated, and an end: made of the pattern's own words."""
    chance = Random(seed)  # noqa: S311 - a search that can be repeated
    words = re.findall(r"[A-Za-z_]{2,}|[^\w\s]", pattern)
    pieces = [*PIECES, *dict.fromkeys(words)]
    for piece in pieces:
        yield "", piece, ""
        yield "", piece, "x!"
        yield "", f"a{piece}", "x!"
    for _ in range(150):
        before, piece, after = (
            "".join(chance.choices(pieces, k=chance.randint(least, 3))) for least in (0, 1, 0)
        )
        yield before, piece, after


def test_every_pattern_of_the_tree_is_tried() -> None:
    """A new one is found by itself, unless it is made in a function."""
    for name, tree in sources():
        made = [call for call in in_functions(tree) if call.func.attr == "compile"]  # type: ignore[attr-defined]
        assert len(made) == MADE_WHILE_RUNNING.get(name, 0), f"{name}: name it in EXAMPLES"
        module_level = [call for call in compiled(tree) if call not in in_functions(tree)]
        if module_level:
            known = [place for place in REGISTRY if place.startswith(f"{name}: ")]
            assert len(known) >= len(module_level), name


def test_pydantic_matches_in_linear_time() -> None:
    """Its own engine does; Python's, which a model could choose, does not."""
    for name, tree in sources():
        assert "regex_engine" not in ast.unparse(tree), name


@pytest.mark.parametrize("place", REGISTRY)
def test_a_pattern_takes_linear_time(place: str) -> None:
    found = REGISTRY[place]
    source = found.pattern.pattern
    text = source.decode("latin-1") if isinstance(source, bytes) else source
    slow = [
        parts
        for parts in hostile(text, seed=len(text))
        if not is_linear(found.run, repeated(*parts))
    ]
    assert slow == []


@pytest.mark.parametrize("slow", [r"\b[a-z][a-z0-9+.-]*://", r"ALERT_(\w+)$"])
def test_the_search_finds_a_slow_pattern(slow: str) -> None:
    """A search that cannot fail proves nothing."""
    found = Found(re.compile(slow), frozenset({"search"}))
    assert not all(is_linear(found.run, repeated(*parts)) for parts in hostile(slow, seed=1))


PUMPS = {
    **{piece: repeated("", piece, "") for piece in PIECES},
    "the message that held a worker": repeated("", "a.", ":@"),
    "addresses": repeated("", "://a:b", ""),
    "addresses with users": repeated("", "://a:b@", ""),
    "a password of signs": repeated("://a:", "@", ""),
    "names": repeated("", "password ", ""),
    "names with values": repeated("", "clientPassword:", ""),
    "names with open quotes": repeated("", 'api_key="', ""),
    "names in JSON in JSON": repeated("", 'secret:\\\\"a', ""),
    "names before blanks": repeated("", "secret" + " " * 64, ""),
    "headers": repeated("", "Authorization: Bearer ", ""),
    "cookies": repeated("", "Cookie: a", ""),
    "schemes": repeated("", "bearer aaaaaaaaaaa ", ""),
    "escapes": repeated("", "%41&#65;\\u0041=41", ""),
    "escapes of escapes": repeated("%", "25", "41"),
    "base64": repeated("", "YWJjZGVmZ2hpamtsbW5vcA", ""),
    "hexadecimal": repeated("", "70407373", ""),
    "numbers": repeated("", "112,", ""),
    "the beginning of a secret": repeated("", SECRETS[1][:-1], ""),
    "the beginning of a secret of one letter": repeated("", "a", ""),
    "a secret": repeated("", SECRETS[1] + " ", ""),
    "an encoded secret": repeated("", SECRETS[1].encode().hex() + " ", ""),
    "every form of a secret": lambda length: " ".join(forms(SECRETS[2]).values())[:length],
    "brackets": repeated("(", "ab ", ")x"),
    "blanks before the end": repeated("(ab)", " ", "x"),
    "nested": lambda length: "[" * (length // 2) + "]" * (length // 2),
}


def told(text: str) -> None:
    body = json.dumps({"statusCode": "10", "errorDesc": text, "tokenList": [{"status": [text]}]})
    read_envelope(body.encode(), clean=redact_cut)


def one_name_many_values(text: str) -> None:
    read_envelope(("{" + '"statusCode":"1",' * (len(text) // 17) + '"a":1}').encode())


def message(text: str) -> None:
    for name in ("partnerTxnUid", "tokenId", "reference1", "partnerId", "expiresAt"):
        given = {"partnerTxnUid": "U", "tokenId": "T", "reference1": "R", name: text}
        try:
            read_message(given)
        except InvalidOrder:
            continue


USERS: dict[str, Callable[[str], object]] = {
    "redact": redact,
    "redact a text that was cut": redact_cut,
    "redact a structure": lambda text: redact_value({"a": [text, {text: text}]}),
    "look at a log line": lambda text: is_clean({"event": text}),
    "the bank's answer": told,
    "a short code": read_short_code,
    "an answer with one name many times": one_name_many_values,
    "an answer that is no JSON": lambda text: read_envelope(text.encode(errors="replace")),
    "a message": message,
    "a report": lambda text: report_of(text.encode(), InvalidMessage("not_json", text)),
    "Retry-After": lambda text: read_retry_after(text, at=NOON),
    "a line on a terminal": printable,
    "JSON on a terminal": printable_json,
    "a cell": marked,
    "a cell that is read": lambda text: unmarked(f"'{text}"),
}


@pytest.fixture(scope="module", autouse=True)
def _known() -> None:
    protect(SECRETS)


@pytest.mark.parametrize("user", USERS)
def test_no_text_takes_more_than_linear_time(user: str) -> None:
    slow = [name for name, make in PUMPS.items() if not is_linear(USERS[user], make, length=4_000)]
    assert slow == []
