"""
The files of `requirements/`, renewed from pyproject.toml by uv; `./dev lock` runs this.

So is the list of the libraries that `./dev bench peers` compares us with. Every package is pinned
by version and hash, for all platforms at once. The files say nothing about where packages come
from. It runs on the standard library alone: a broken file must not keep anybody from renewing it.
"""

import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.tree import ROOT

PROJECT = ROOT / "pyproject.toml"
FOLDER = ROOT / "requirements"
PEERS = ROOT / "benchmarks" / "peers" / "requirements.in"

GROUPS: Mapping[str, tuple[str, ...]] = {
    "development": ("dev",),
    "demo": ("build",),
    "runtime": (),
}
"""The dependency groups of each file. The first file is resolved, the others get its versions."""
WITH_EXTRAS = frozenset({"development", "demo"})


def file(name: str) -> Path:
    """Return the path of a requirements file."""
    return FOLDER / f"{name}.txt"


def command(uv: str, name: str, *, upgrade: bool) -> list[str]:
    """Return the call of uv that renews a file; without an upgrade, versions stay."""
    options = [f"--group={group}" for group in GROUPS[name]]
    options += ["--all-extras"] if name in WITH_EXTRAS else []
    options += ["--constraint", str(file("development"))] if name != "development" else []
    return _compile(uv, options, PROJECT, file(name), upgrade=upgrade)


def peers_command(uv: str, *, upgrade: bool) -> list[str]:
    """Return the call of uv that renews the list of the peers, with our version of what we use."""
    ours = ["--constraint", str(file("development"))]
    return _compile(uv, ours, PEERS, PEERS.with_suffix(".txt"), upgrade=upgrade)


def _compile(
    uv: str, options: Sequence[str], source: Path, output: Path, *, upgrade: bool
) -> list[str]:
    compile_ = [uv, "pip", "compile", "--quiet", "--no-config", "--universal", "--generate-hashes"]
    # pip refuses a package that is asked for with an extra and pinned without it.
    form = ["--no-strip-extras", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    head = ["--custom-compile-command", "./dev lock", "--python-version", "3.11"]
    newest = ["--upgrade"] if upgrade else []
    return [*compile_, *form, *head, *options, *newest, str(source), "--output-file", str(output)]


def main(arguments: list[str]) -> int:
    """Renew the files, with the uv on PATH or one fetched for the occasion."""
    with tempfile.TemporaryDirectory() as folder:
        uv = shutil.which("uv") or fetched_uv(Path(folder))
        upgrade = "--upgrade" in arguments
        for name in GROUPS:
            _renew(file(name), command(uv, name, upgrade=upgrade))
        # After the development files, whose versions it takes over.
        _renew(PEERS.with_suffix(".txt"), peers_command(uv, upgrade=upgrade))
    return 0


def _renew(output: Path, words: list[str]) -> None:
    subprocess.run(words, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    print(f"renewed {output.relative_to(ROOT)}")


def fetched_uv(folder: Path) -> str:
    """Install uv into a folder that goes away afterwards; nothing else here needs it."""
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", "uv"], check=True)
    return str(folder / "bin" / "uv")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
