"""No test waits by a figure of its own: there is one limit for all."""

import ast
from collections.abc import Iterator

import pytest

from tools.tree import ROOT

WAITS = frozenset({"wait", "join", "result", "communicate", "settimeout", "sleep"})
NAMES = frozenset({"timeout", "socket_timeout", "connect_timeout", "within"})

OWN = {
    "tests/bank/peer.py": "the pace of a bank that drips, and of a look whether the test is over",
    "tests/bank/test_deadline.py": "the pace of a bank, and sockets that are not to wait at all",
    "tests/celery/neighbour.py": "a worker's own loop",
    "tests/celery/recording_worker.py": "a worker's own loop",
    "tests/celery/test_broker_outage.py": "nothing more comes: what was there is acted on",
    "tests/e2e/test_outcomes.py": "nothing more comes: the caller looks again",
    "tests/integration/test_attempt.py": "a clock that is told to go on",
    "tests/integration/test_runs.py": "a clock that is told to go on",
    "tests/sandbox/test_journal.py": "a wait in vain is the subject",
    "tests/survival/load.py": "the pace of the load, and a ping that is asked again",
    "tests/survival/test_proxy.py": "nothing comes: what is frozen or deaf stays so",
    "tests/survival/traffic.py": "the pace of the load",
    "tests/unit/test_backoff.py": "a wait that is computed, and that nobody waits",
}
"""Where a figure is no patience of the test's, and what it is."""


def figures(source: str) -> Iterator[int]:
    """Yield the lines on which a wait is given a figure."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        given = [word.value for word in node.keywords if word.arg in NAMES]
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if method in WAITS:
            given += node.args[:1]
        # The simulated bank's own patience is ten seconds.
        if (method == "wait_for_posts" and not given) or any(
            isinstance(each, ast.Constant) and _is_figure(each.value) for each in given
        ):
            yield node.lineno


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def test_every_wait_goes_by_the_one_limit() -> None:
    """`LIMIT` of tests/servers/waiting.py is for all; on a slow machine a setting scales it."""
    paths = sorted((ROOT / "tests").rglob("*.py"))
    found = {
        str(path.relative_to(ROOT)): lines
        for path in paths
        if (lines := list(figures(path.read_text(encoding="utf-8"))))
    }
    assert {name: lines for name, lines in found.items() if name not in OWN} == {}
    assert set(OWN) <= set(found), "no longer needed"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("thread.join(5)", [1]),
        ("run(timeout=0.5)", [1]),
        ("event.wait(LIMIT)", []),
        ("', '.join(words)", []),
        ("run(timeout=LIMIT)", []),
        ("journal.wait_for_posts(1)", [1]),
        ("journal.wait_for_posts(1, timeout=LIMIT)", []),
    ],
)
def test_a_figure_is_found(source: str, expected: list[int]) -> None:
    assert list(figures(source)) == expected


def test_the_tools_need_no_tests() -> None:
    """Docs and checks are made from the product; what the tests print, they print themselves."""
    for path in (ROOT / "tools").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.partition(".")[0] == "tests"], path.name
