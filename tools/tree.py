"""The rules of this tree that no other program holds: room for each idea, and no stray traces."""

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LONGEST_MODULE = 320
WIDEST_PAGE = 120
# Rooms for leftovers. What would go in there has an idea of its own, and so a name.
NO_ROOMS = frozenset({"base", "common", "helper", "helpers", "misc", "services", "util", "utils"})

# One bracketed letter keeps each pattern from finding itself here.
STRAYS = re.compile(
    r"""
    # Where packages and images come from is the reader's own affair.
    pypi[.]org | pythonh[o]sted | npm[j]s | deb[.]debian | (?:docker|ghcr|quay)[.]io/
    # So is where this tree happens to lie.
    | /opt/py[p]i | (?<![\w.]) (?: /wor[k]/ | /roo[t]/ | /(?:home|Users)/\w | /tm[p]/[\w.-]+/ )
    """,
    re.VERBOSE,
)

LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)")
# Our own files, as the pages name them, and our own pages, as everything else names them.
NAMED = re.compile(r"`((?:benchmarks|deploy|docs|migrations|tests|tools|worker)/[\w./-]*)`")
OUR_PAGE = re.compile(r"\bdocs/[\w./-]+\.(?:json|md)\b")
HEADING = re.compile(r"^#{1,6}\s+(?P<text>.+?)\s*#*$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def files(root: Path = ROOT) -> list[Path]:
    """Return the files of the tree: what git knows, or would take if it were added."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607 - the git of whoever runs this
        cwd=root,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = (name.decode() for name in listed.stdout.split(b"\0") if name)
        return sorted(path for name in set(names) if (path := root / name).is_file())
    return sorted(path for path in root.rglob("*") if path.is_file() and not made(path, root))


def made(path: Path, root: Path) -> bool:
    """Tell whether a path is something the tools leave behind; for a tree that came without git."""
    parts = path.relative_to(root).parts
    return any(part in {"__pycache__", "build", "dist"} for part in parts) or (
        parts[0].startswith(".") and parts[0] not in {".ci", ".dockerignore", ".editorconfig"}
    )


def too_long(paths: Iterable[Path], root: Path = ROOT) -> Iterator[str]:
    """Yield the modules of the product that hold more than one idea can need."""
    for path in product_modules(paths, root):
        lines = len(path.read_text().splitlines())
        if lines > LONGEST_MODULE:
            yield f"{path.relative_to(root)}: {lines} lines, {LONGEST_MODULE} at most"


def too_wide(paths: Iterable[Path], root: Path = ROOT) -> Iterator[str]:
    """Yield the lines of the pages that are too wide to be read in an editor; a table may be."""
    for page in paths:
        if page.suffix == ".md":
            for number, line in enumerate(page.read_text().splitlines(), start=1):
                if len(line) > WIDEST_PAGE and not line.startswith("|"):
                    yield f"{page.relative_to(root)}:{number}: {len(line)} characters"


def nameless(paths: Iterable[Path], root: Path = ROOT) -> Iterator[str]:
    """Yield the modules and packages whose name says nothing of what is in them."""
    for path in product_modules(paths, root):
        inner = path.relative_to(root).with_suffix("")
        for part in inner.parts:
            if part in NO_ROOMS:
                yield f"{path.relative_to(root)}: {part!r} names no idea"


def product_modules(paths: Iterable[Path], root: Path) -> Iterator[Path]:
    """Yield the Python modules of the product."""
    for path in paths:
        if path.suffix == ".py" and path.is_relative_to(root / "worker"):
            yield path


def strays(paths: Iterable[Path], root: Path = ROOT) -> Iterator[str]:
    """Yield the lines that name a package host or a path of somebody's machine."""
    for path in paths:
        for number, line in enumerate(text_of(path).splitlines(), start=1):
            if found := STRAYS.search(line):
                yield f"{path.relative_to(root)}:{number}: {found.group()}"


def text_of(path: Path) -> str:
    """Return a file's text; of a picture or a key store, nothing."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def dead_links(paths: Iterable[Path], root: Path = ROOT) -> Iterator[str]:
    """Yield the links between the project's pages that lead nowhere."""
    for page in paths:
        if page.suffix == ".md":
            for target in LINK.findall(FENCED.sub("", page.read_text())):
                if not re.match(r"[a-z]+:", target) and not leads_somewhere(page, target):
                    yield f"{page.relative_to(root)}: {target}"


def lost_paths(paths: Iterable[Path], root: Path = ROOT) -> Iterator[str]:
    """Yield what is named and gone: files of ours in a page, pages in any other file."""
    for path in paths:
        if path.name == "CHANGELOG.md":
            continue  # it tells of what was
        names = NAMED.findall if path.suffix == ".md" else OUR_PAGE.findall
        for name in names(text_of(path)):
            if not (root / name).exists():
                yield f"{path.relative_to(root)}: {name}"


def leads_somewhere(page: Path, target: str) -> bool:
    """Tell whether a relative link finds its file and, in a page, its heading."""
    name, _, anchor = target.partition("#")
    other = page.parent / name if name else page
    if not other.exists():
        return False
    return not anchor or other.suffix != ".md" or anchor in anchors(other.read_text())


def anchors(text: str) -> set[str]:
    """Return the anchors a page's headings get where the project is read."""
    headings = HEADING.findall(FENCED.sub("", text))
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return set(slugs) | {f"{slug}-{n}" for slug in slugs for n in range(1, slugs.count(slug))}
