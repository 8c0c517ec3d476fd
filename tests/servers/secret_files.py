"""A secret in a file, replaced in each of the ways in which that is done."""

from pathlib import Path


def overwrite(path: Path, secret: str) -> None:
    """Write the file anew, as an editor or a script does."""
    path.write_text(f"{secret}\n")


def rename(path: Path, secret: str) -> None:
    """Put a whole new file in its place."""
    fresh = path.with_suffix(".new")
    fresh.write_text(f"{secret}\n")
    fresh.replace(path)


def swap(path: Path, secret: str) -> None:
    """
    Swap the folder behind the file, as Kubernetes does.

    The file is a link into `..data`, and that is a link to the folder of one version.
    """
    folder = path.parent
    version = folder / f"..v{len(list(folder.glob('..v*')))}"
    version.mkdir()
    (version / path.name).write_text(secret)
    fresh = folder / "..data_tmp"
    fresh.symlink_to(version.name)
    fresh.replace(folder / "..data")
    if not path.is_symlink():
        path.unlink(missing_ok=True)
        path.symlink_to(f"..data/{path.name}")


WAYS = (overwrite, rename, swap)
