"""
What must hold of the files in `requirements/`, checked without a network.

Each pins what pyproject.toml asks for, by hash, in one version in all files, and names no place.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.dependency_groups import DependencyGroupResolver
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from tools import requirements

PLACE = re.compile("://| @ ")


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of a file: what is pinned, and its hashes in the order of the file."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def version(self) -> str | None:
        """The one version that is allowed, or None if it is not one."""
        pinned = [each for each in self.requirement.specifier if each.operator == "=="]
        exact = len(self.requirement.specifier) == len(pinned) == 1
        return pinned[0].version if exact and "*" not in pinned[0].version else None

    def satisfies(self, wanted: Requirement) -> bool:
        """Tell whether the pin is a version, with the extras, that is asked for."""
        version = self.version
        return (
            version is not None
            and wanted.specifier.contains(version, prereleases=True)
            and wanted.extras <= self.requirement.extras
        )


def read(text: str) -> tuple[dict[str, Pin], list[str]]:
    """Return the pins of a requirements file by name, and the lines that are no pin."""
    pins: dict[str, Pin] = {}
    others: list[str] = []
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        words, *hashes = (part.strip() for part in line.split("--hash="))
        try:
            requirement = Requirement(words)
        except InvalidRequirement:
            others.append(words)
            continue
        pins[canonicalize_name(requirement.name)] = Pin(requirement, tuple(hashes))
    return pins, others


def asked_for(project: Mapping[str, Any], name: str) -> list[Requirement]:
    """Return what pyproject.toml asks for in one of the files."""
    wanted = list(project["project"]["dependencies"])
    if name in requirements.WITH_EXTRAS:
        extras = project["project"].get("optional-dependencies", {})
        wanted += [each for extra in extras.values() for each in extra]
    groups = DependencyGroupResolver(project.get("dependency-groups", {}))
    in_groups = [each for group in requirements.GROUPS[name] for each in groups.resolve(group)]
    return [*map(Requirement, wanted), *in_groups]


def complaints(files: Mapping[str, str], project: str) -> list[str]:
    """Return what is wrong with the files, given by name, for the text of a pyproject.toml."""
    table = tomllib.loads(project)
    development, _ = read(files["development"])
    found: list[str] = []
    for name, text in files.items():
        pins, others = read(text)
        faults = [
            *(f"{line!r} names a place" for line in text.splitlines() if PLACE.search(line)),
            *(f"{line!r} is no pinned package" for line in others),
            *(fault for pin in pins.values() for fault in _faults(pin)),
            *_missing(pins, asked_for(table, name)),
            *(
                f"{package} is not pinned as in development.txt"
                for package, pin in pins.items()
                if pin != development.get(package)
            ),
        ]
        found += [f"{name}.txt: {fault}" for fault in faults]
    return found


def _faults(pin: Pin) -> Iterator[str]:
    if pin.version is None:
        yield f"{pin.requirement.name} is not pinned to one version"
    if not any(each.startswith("sha256:") for each in pin.hashes):
        yield f"{pin.requirement.name} has no hash"


def _missing(pins: Mapping[str, Pin], wanted: list[Requirement]) -> Iterator[str]:
    for each in wanted:
        pin = pins.get(canonicalize_name(each.name))
        if pin is None:
            yield f"{each} is asked for and not pinned"
        elif not pin.satisfies(each):
            yield f"{pin.requirement} does not satisfy {each}"


def check() -> list[str]:
    """Return what is wrong with the files of this tree."""
    files = {name: requirements.file(name).read_text() for name in requirements.GROUPS}
    return complaints(files, requirements.PROJECT.read_text())
