"""What the schema of a compose file cannot see: names used and not declared, or the reverse."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

KINDS = ("volumes", "secrets", "configs", "networks")


def complaints(path: Path) -> list[str]:
    """Return the dangling names of a compose file."""
    table = YAML(typ="safe").load(path.read_text())
    return [*unknown_services(table), *loose_ends(table)]


def unknown_services(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield every service that is waited for and is not there."""
    services = table["services"]
    for name, service in services.items():
        for other in service.get("depends_on", ()):
            if other not in services:
                yield f"service {name} waits for {other}, which is not declared"


def loose_ends(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield volumes, secrets, configs and networks that are used or declared, but not both."""
    for kind in KINDS:
        declared = set(table.get(kind) or ())
        used = {name for service in table["services"].values() for name in names(service, kind)}
        # A service that names no network is on the default one, which needs no declaration.
        yield from (f"{kind}: {name} is used and not declared" for name in used - declared)
        yield from (f"{kind}: {name} is declared and not used" for name in declared - used)


def names(service: Mapping[str, Any], kind: str) -> Iterator[str]:
    """Yield the names of one kind that a service uses, in the short form and in the long."""
    for entry in service.get(kind) or ():
        if isinstance(entry, str):
            source = entry.partition(":")[0]
            # A path is mounted from the host and is nobody's name.
            if not source.startswith((".", "/", "~")):
                yield source
        elif entry.get("type", "volume") == "volume" and "source" in entry:
            yield entry["source"]
