"""Lays out one SQL statement for people: a clause a line, long lists and conditions broken up."""

import re
from collections.abc import Iterable, Iterator

WIDTH = 100
INDENT = "    "
SHORT = 40
"""A query in brackets that is no longer stays on its line."""
Token = str | list["Token"]
"""A word of the text, or what stands between two brackets."""

_TOKENS = re.compile(
    r"""'(?:[^']|'')*' | "[^"]*"(?:\.\w+)? | TIMESTAMP\ WITH\ TIME\ ZONE
    | :: | \[\] | -[\d.]+ | :?[\w.$*]+ | [<>=!]+ | \S""",
    re.VERBOSE,
)
_CLAUSES = (
    *("WITH", "INSERT INTO", "UPDATE", "DELETE FROM", "SELECT", "VALUES", "SET", "FROM", "WHERE"),
    *("LEFT OUTER JOIN", "UNION ALL", "ORDER BY", "LIMIT", "FOR UPDATE", "ON CONFLICT"),
    *("RETURNING",),
)
"""What begins a line of its own."""
_STARTS = tuple(tuple(clause.split()) for clause in _CLAUSES)
_LISTS = frozenset({"WITH", "SELECT", "SET", "RETURNING", "ORDER BY"})
_QUERIES = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"})
_TABLE = re.compile(r"INSERT INTO \S+$")
_FUNCTION = re.compile(r"(?:\b[a-z_][\w.]*|\bCAST|\bVARCHAR)$")


def formatted(text: str) -> str:
    """Return the statement with line breaks and indents; nothing but white space changes."""
    return "\n".join(_statement(_tree(_TOKENS.findall(text)), WIDTH))


def _tree(words: Iterable[str]) -> list[Token]:
    """Return the words with each bracket as a list of its own."""
    still_open: list[list[Token]] = [[]]
    for word in words:
        if word == "(":
            still_open.append([])
        elif word == ")":
            closed = still_open.pop()
            still_open[-1].append(closed)
        else:
            still_open[-1].append(word)
    (tree,) = still_open
    return tree


def _flat(tokens: Iterable[Token], line: str = "") -> str:
    """Return the tokens on one line, behind what stands on it already."""
    for token in tokens:
        if isinstance(token, str):
            glued = token in {",", "::", "[]"} or line.endswith("::")
            word = token
        else:
            glued = bool(_FUNCTION.search(line)) and not _TABLE.search(line)
            word = f"({_flat(token)})"
        line += word if glued or not line else f" {word}"
    return line


def _statement(tokens: list[Token], width: int) -> Iterator[str]:
    """Yield the lines of a whole statement."""
    for clause, body in _clauses(tokens):
        words: list[Token] = [*clause.split()]
        if _fits([*words, *body], width):
            yield _flat([*words, *body])
        elif clause in _LISTS:
            yield clause
            for item in _split_after(body, {","}):
                yield from _indented(_expression(item, width - len(INDENT)))
        else:
            for part in _split_before([*words, *body], {"AND", "OR"}):
                yield from _expression(part, width)


def _clauses(tokens: list[Token]) -> Iterator[tuple[str, list[Token]]]:
    """Yield the first words of each clause, and what follows them."""
    clause, body, position = "", list[Token](), 0
    while position < len(tokens):
        ahead = tokens[position : position + 3]
        start = next((start for start in _STARTS if ahead[: len(start)] == list(start)), None)
        if start is None:
            body.append(tokens[position])
            position += 1
            continue
        if clause:
            yield clause, body
        clause, body = " ".join(start), []
        position += len(start)
    yield clause, body


def _expression(tokens: list[Token], width: int) -> Iterator[str]:
    """Yield an expression: on one line if it fits, else broken at its CASE or longest bracket."""
    if _fits(tokens, width):
        yield _flat(tokens)
    elif "AND" in tokens[1:]:
        for part in _split_before(tokens, {"AND", "OR"}):
            yield from _expression(part, width)
    elif "CASE" in tokens:
        first, *rest = _split_before(tokens, {"WHEN", "ELSE", "END"})
        yield _flat(first)
        for part in rest:
            inner = width - len(INDENT)
            yield from (
                _expression(part, width)
                if part[0] == "END"
                else _indented(_expression(part, inner))
            )
    else:
        yield from _broken(tokens, width)


def _broken(tokens: list[Token], width: int) -> Iterator[str]:
    """Yield an expression with its longest bracket on lines of its own."""
    lengths = {place: len(_flat([t])) for place, t in enumerate(tokens) if isinstance(t, list)}
    if not lengths:
        yield _flat(tokens)
        return
    place = max(lengths, key=lambda each: lengths[each])
    yield _flat([*tokens[:place], []])[:-1]
    inner = tokens[place]
    yield from _indented(_inside([*inner], width - len(INDENT)))
    after = tokens[place + 1 :]
    if _fits([")", *after], width):
        yield _flat(after, ")")
    else:
        yield ")"
        yield from _expression(after, width)


def _inside(tokens: list[Token], width: int) -> Iterator[str]:
    """Yield what stands in a bracket: a statement, a list, or a condition."""
    if tokens[0] in _QUERIES:
        yield from _statement(tokens, width)
        return
    parts = _split_after(tokens, {","}) if "," in tokens else _split_before(tokens, {"AND", "OR"})
    for part in parts:
        yield from _expression(part, width)


def _split_after(tokens: list[Token], marks: set[str]) -> Iterator[list[Token]]:
    """Yield the parts of a list, each with the mark at its end."""
    part: list[Token] = []
    for token in tokens:
        part.append(token)
        if isinstance(token, str) and token in marks:
            yield part
            part = []
    yield part


def _split_before(tokens: list[Token], marks: set[str]) -> Iterator[list[Token]]:
    """Yield the parts of a condition, each with the mark at its beginning."""
    part: list[Token] = []
    for token in tokens:
        if part and isinstance(token, str) and token in marks:
            yield part
            part = []
        part.append(token)
    yield part


def _fits(tokens: list[Token], width: int) -> bool:
    """Say whether the tokens may stand on one line."""
    return len(_flat(tokens)) <= width and not _holds_a_query(tokens)


def _holds_a_query(tokens: Iterable[Token]) -> bool:
    """Say whether a bracket holds a query that is not short."""
    brackets = (token for token in tokens if isinstance(token, list) and token)
    return any(
        (inner[0] in _QUERIES and len(_flat(inner)) > SHORT) or _holds_a_query(inner)
        for inner in brackets
    )


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"{INDENT}{line}" for line in lines)
