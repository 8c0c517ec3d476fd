"""
The lock: every package by version and hash, in sections, and nothing about where it is from.

One resolution is cut into sections, so that an image takes only what runs, the demo a little
more, and the tests and checks all of it. Run as a program, it renews `requirements.lock`.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
PROJECT = ROOT / "pyproject.toml"

# Each section holds what its options add to those before it.
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "runtime": (),
    "demo": ("--all-extras", "--group", "build"),
    "development": ("--all-extras", "--group", "build", "--group", "test", "--group", "lint"),
}
HEAD = """\
# Made by `./dev lock` from pyproject.toml; not edited by hand.
# An image takes the first section alone, `./dev demo` the first two, `./dev test` all three.
"""
ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^ ;\\]+)")


def entries(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each locked package with all its lines, comments left out."""
    block: list[str] = []
    for line in [*text.splitlines(), "end=="]:
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(" ") and block:
            yield canonical(block[0]), "\n".join(block)
            block = []
        block.append(line)


def canonical(requirement: str) -> str:
    """Return the package's name as an index compares it: lower case, one kind of dash."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", name.group()).lower() if name else requirement


def complaints(lock: str, project: str) -> list[str]:
    """Return what is wrong with a lock, as seen from the pyproject.toml it should satisfy."""
    locked = dict(entries(lock))
    return [
        *(f"{name} is not pinned" for name, block in locked.items() if not ENTRY.match(block)),
        *(f"{name} has no hash" for name, block in locked.items() if "--hash=sha256:" not in block),
        *(f"line {number} names a place: {line}" for number, line in places(lock)),
        *(f"section [{name}] is missing" for name in SECTIONS if f"# [{name}]\n" not in lock),
        *(f"{name} is asked for and not locked" for name in asked_for(project) - set(locked)),
        *(f"{name} is locked, but {needs}" for name, needs in outside(locked, project)),
    ]


def places(lock: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that say where packages come from: a host, a file, an option for either."""
    for number, line in enumerate(lock.splitlines(), start=1):
        option = line.startswith("-") or ("--" in line and "--hash=" not in line)
        if not line.startswith("#") and (option or "://" in line or " @ " in line):
            yield number, line


def requirements(project: str) -> list[str]:
    """Return everything pyproject.toml asks for: to run, in extras and in groups."""
    table = tomllib.loads(project)
    extras = table["project"].get("optional-dependencies", {})
    groups = table.get("dependency-groups", {})
    lists = [table["project"]["dependencies"], *extras.values(), *groups.values()]
    return [requirement for part in lists for requirement in part]


def asked_for(project: str) -> set[str]:
    """Return the names of what pyproject.toml asks for."""
    return {canonical(requirement) for requirement in requirements(project)}


def outside(locked: Mapping[str, str], project: str) -> Iterator[tuple[str, str]]:
    """Yield packages whose locked version is not one that pyproject.toml allows."""
    # Of the environment, not of the standard library: only the check needs it, and has it.
    from packaging.requirements import Requirement  # noqa: PLC0415 - renewing works without

    for wanted in map(Requirement, requirements(project)):
        entry = ENTRY.match(locked.get(canonical(wanted.name), ""))
        if entry and not wanted.specifier.contains(entry["version"]):
            yield wanted.name, f"{entry['version']} is not {wanted.specifier}"


def divided(full: str, members: Mapping[str, set[str]]) -> str:
    """Return one resolution as the text of a lock, each package in its first section."""
    left = dict(entries(full))
    text = HEAD
    for section in SECTIONS:
        names = sorted(name for name in left if name in members[section])
        text += f"\n# [{section}]\n" + "".join(f"{left.pop(name)}\n" for name in names)
    return text


def resolve(uv: str, options: tuple[str, ...], *, output: Path, constraint: Path | None) -> str:
    """Ask uv for all platforms at once, with hashes and without a word about the index."""
    command = [uv, "pip", "compile", "--quiet", "--no-config", "--universal"]
    command += ["--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate"]
    command += ["--no-emit-index-url", "--no-emit-find-links", *options]
    command += ["--constraint", str(constraint)] if constraint else []
    command += [str(PROJECT), "--output-file", str(output)]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return output.read_text()


def renew(uv: str, *, upgrade: bool) -> str:
    """Return a new lock; versions stay where they are unless an upgrade is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "full.txt"
        if LOCK.exists() and not upgrade:
            full.write_text(LOCK.read_text())
        text = resolve(uv, SECTIONS["development"], output=full, constraint=None)
        members = {
            name: {
                package
                for package, _ in entries(
                    resolve(uv, options, output=Path(folder) / f"{name}.txt", constraint=full)
                )
            }
            for name, options in SECTIONS.items()
        }
    return divided(text, members)


def main(arguments: list[str]) -> int:
    """Renew the lock, with the uv on PATH or one fetched for the occasion."""
    with tempfile.TemporaryDirectory() as folder:
        uv = shutil.which("uv") or fetched_uv(Path(folder))
        LOCK.write_text(renew(uv, upgrade="--upgrade" in arguments))
    print(f"{LOCK.name}: {sum(1 for _ in entries(LOCK.read_text()))} packages")
    return 0


def fetched_uv(folder: Path) -> str:
    """Install uv into a folder that goes away afterwards; nothing else here needs it."""
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", "uv"], check=True)
    return str(folder / "bin" / "uv")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
