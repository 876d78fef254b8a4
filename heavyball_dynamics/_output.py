"""Output folders that are either complete or not there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside `folder`; on success its files are moved there, on failure nothing is left.

    Files of the same names in an existing folder are replaced one by one, others are left alone.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"the output folder {str(folder)!r} is a file.")
    made = _make_parents(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name or 'report'}-", dir=folder.parent) as name:
            work = Path(name) / "work"  # made with the usual permissions, unlike the folder around it
            work.mkdir()
            yield work
            _move(work, folder)
            made = []
    except OSError as error:
        if error.filename is not None:
            raise OSError(f"the output folder {str(folder)!r} cannot be written: {error.strerror}.") from error
        raise
    finally:
        for parent in made:
            parent.rmdir()


def _make_parents(folder: Path) -> list[Path]:
    """Make what is missing above the folder and return it, innermost first."""
    missing = []
    parent = folder.parent
    while not parent.exists():
        missing.append(parent)
        parent = parent.parent
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the output folder {str(folder)!r} cannot be made: {error.strerror}.") from error
    return missing


def _move(work: Path, folder: Path) -> None:
    if not folder.exists():
        work.rename(folder)
        return
    for file in work.iterdir():
        # Through a name beside the target: a rename within one folder replaces the old file at once.
        shutil.move(file, folder / f".{file.name}.new")
        (folder / f".{file.name}.new").replace(folder / file.name)
