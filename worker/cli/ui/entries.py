"""The entries of a file of orders, as `import` and `reconcile --manifest` read it."""

from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from worker.config.settings import Settings
from worker.jobs.manifest import ManifestEntry, RefusedLine, read_manifest


def entries(file: BinaryIO, settings: Settings) -> Iterator[ManifestEntry | RefusedLine]:
    """Read a file as strictly as a producer's orders; the only partner may be left out."""
    resolve = partial(settings.roster().resolve, default=settings.partner_id)
    return read_manifest(file, resolve=resolve, uid_length=settings.uid_length)
