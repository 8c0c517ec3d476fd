"""Every check of the project, one line each; `./dev check [NAME ...]` runs them."""

import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tools import compose, pins, requirements, tree

ROOT = tree.ROOT
COMPOSE = "docker-compose.yml"


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found, and how long it took; nothing found is good."""

    found: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, and a function that returns what is wrong, or nothing."""

    name: str
    find: Callable[[], str]

    def run(self) -> Result:
        """Run the check; one that falls over has found that."""
        began = time.monotonic()
        try:
            found = self.find()
        except Exception as error:  # noqa: BLE001 - the other checks still have something to say
            found = f"the check itself failed: {error!r}"
        return Result(found.strip(), time.monotonic() - began)


def command(*words: str) -> Callable[[], str]:
    """Return a check that is another program's: what it prints counts when it fails."""
    return lambda: output(words)


def output(words: Iterable[str], *, env: Mapping[str, str] | None = None) -> str:
    """Run a program at the root; return what it printed if it failed, nothing if it did not."""
    done = subprocess.run(
        list(words),
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return (done.stdout or f"exit code {done.returncode}") if done.returncode else ""


def in_turn(*steps: Iterable[str], env: Mapping[str, str]) -> str:
    """Run programs one after the other, up to the first that fails."""
    return next((found for step in steps if (found := output(step, env=env))), "")


def spelling() -> str:
    """Look for misspelt words in every file, hidden ones too."""
    return output(["codespell", *(str(path.relative_to(ROOT)) for path in tree.files())])


def migrations() -> str:
    """Take an empty database up, down and up again, and compare it with the models."""
    with tempfile.TemporaryDirectory() as folder:
        ours = {"KPLUS_HOME": folder, "KPLUS_DATABASE_URL": f"sqlite:///{folder}/check.sqlite"}
        return in_turn(
            ["alembic", "upgrade", "head"],
            ["alembic", "downgrade", "base"],
            ["alembic", "upgrade", "head"],
            ["alembic", "check"],
            env=ours,
        )


def pure_core() -> str:
    """Run the unit tests and ask for every branch of the modules that decide."""
    contracts = tomllib.loads(requirements.PROJECT.read_text())["tool"]["importlinter"]["contracts"]
    (pure,) = (contract for contract in contracts if contract["id"] == "pure")
    places = [name.replace(".", "/") for name in pure["source_modules"]]
    modules = ",".join(f"{place}/*,{place}.py" for place in places)
    with tempfile.TemporaryDirectory() as folder:
        return in_turn(
            ["coverage", "run", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit"],
            ["coverage", "report", f"--include={modules}", "--fail-under=100"],
            env={"COVERAGE_FILE": f"{folder}/coverage"},
        )


def lines(found: Iterable[str]) -> str:
    """Return findings one a line."""
    return "\n".join(found)


CHECKS = (
    Check("format", command("ruff", "format", "--check", "--quiet", ".")),
    Check("lint", command("ruff", "check", "--quiet", "--output-format=concise", ".")),
    Check("types", command("mypy", "--no-error-summary", ".", "dev")),
    Check("imports", command("lint-imports", "--no-cache", "--no-logo")),
    Check("spelling", spelling),
    Check("pure-core", pure_core),
    Check("migrations", migrations),
    Check("lock", lambda: lines(pins.check())),
    Check(
        "compose", command("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)
    ),
    Check("compose-names", lambda: lines(compose.complaints(ROOT / COMPOSE))),
    Check("dockerfile", command("hadolint", "Dockerfile")),
    Check("length", lambda: lines(tree.too_long(tree.files()))),
    Check("width", lambda: lines(tree.too_wide(tree.files()))),
    Check("rooms", lambda: lines(tree.nameless(tree.files()))),
    Check("strays", lambda: lines(tree.strays(tree.files()))),
    Check("links", lambda: lines(tree.dead_links(tree.files()))),
    Check("paths", lambda: lines(tree.lost_paths(tree.files()))),
)


def main(wanted: list[str]) -> int:
    """Run the named checks, or all; 1 if any found something, 2 if a name is not known."""
    known = {check.name: check for check in CHECKS}
    if unknown := [name for name in wanted if name not in known]:
        print(f"there is no check {', '.join(unknown)}; there are {', '.join(known)}")
        return 2
    chosen = [known[name] for name in wanted] or CHECKS
    began = time.monotonic()
    # They wait for programs, so threads are enough; the lines come in the order above.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = zip(chosen, pool.map(Check.run, chosen), strict=True)
        failed = [check.name for check, result in results if not told(check, result)]
    print(f"{len(chosen)} checks in {time.monotonic() - began:.1f} s", end="")
    print(f"; failed: {', '.join(failed)}" if failed else ", all good")
    return 1 if failed else 0


def told(check: Check, result: Result) -> bool:
    """Print a check's line and what it found; tell whether it was good."""
    print(f"{'✗' if result.found else '✓'} {check.name:<14}{result.seconds:6.1f} s", flush=True)
    for line in result.found.splitlines():
        print(f"    {line}")
    return not result.found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
