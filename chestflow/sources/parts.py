"""A folder for the parts of a file that is being made."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def folder_for(path: Path) -> Iterator[Path]:
    """An empty folder beside a file, for as long as the body runs. Its name follows from the
    file's, so that what a killed process left there goes when the file is made again."""
    folder = path.with_name(f".{path.name}.parts")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
