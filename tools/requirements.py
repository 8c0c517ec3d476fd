"""
The files of `requirements/`, renewed from pyproject.toml by uv; `./dev lock` runs this.

Every package is pinned by version and hash, for all platforms at once. The files say nothing
about where packages come from. It runs on the standard library alone: a broken file must not
keep anybody from renewing it.
"""

import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path

from tools.tree import ROOT

PROJECT = ROOT / "pyproject.toml"
FOLDER = ROOT / "requirements"

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
    compile_ = [uv, "pip", "compile", "--quiet", "--no-config", "--universal", "--generate-hashes"]
    # pip refuses a package that is asked for with an extra and pinned without it.
    form = ["--no-strip-extras", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    head = ["--custom-compile-command", "./dev lock"]
    options = ["--python-version", "3.11", *(f"--group={group}" for group in GROUPS[name])]
    options += ["--all-extras"] if name in WITH_EXTRAS else []
    options += ["--constraint", str(file("development"))] if name != "development" else []
    options += ["--upgrade"] if upgrade else []
    return [*compile_, *form, *head, *options, str(PROJECT), "--output-file", str(file(name))]


def main(arguments: list[str]) -> int:
    """Renew the files, with the uv on PATH or one fetched for the occasion."""
    with tempfile.TemporaryDirectory() as folder:
        uv = shutil.which("uv") or fetched_uv(Path(folder))
        for name in GROUPS:
            words = command(uv, name, upgrade="--upgrade" in arguments)
            subprocess.run(words, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
            print(f"renewed {file(name).relative_to(ROOT)}")
    return 0


def fetched_uv(folder: Path) -> str:
    """Install uv into a folder that goes away afterwards; nothing else here needs it."""
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", "uv"], check=True)
    return str(folder / "bin" / "uv")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
