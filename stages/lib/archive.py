"""Read and write the npz archives of MedMNIST: {train,val,test}_{images,labels}."""

import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from stages.lib.errors import UserError

SPLITS = ("train", "val", "test")
MAX_BYTES = 1 << 30  # ChestMNIST unpacks to 90 MB
READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
BROKEN = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, RuntimeError, KeyError, OSError)
Header = tuple[tuple[int, ...], np.dtype]


def check(path: Path, findings: int, *, size: int = 28, max_bytes: int = MAX_BYTES) -> None:
    """Accept an archive or say why not.

    Accepted are images uint8 (n, size, size) and labels integer (n, findings) of 0 and 1 for each
    split, n at least 1; other arrays may lie beside them. Sizes are judged from the headers before
    anything is unpacked, and pickled objects are never loaded.
    Raises UserError with the file, the key, what was received and what is accepted.
    """
    headers = _headers(path, max_bytes)
    for split in SPLITS:
        _check_headers(path, headers, split, findings, size)
    with _readable(path), np.load(path, allow_pickle=False) as arrays:
        loaded = {key: arrays[key] for key in headers}  # images too: it verifies their checksums
    for split in SPLITS:
        if strange := sorted(set(np.unique(loaded[f"{split}_labels"]).tolist()) - {0, 1}):
            raise UserError(f"{path}: {split}_labels holds {strange[0]}; accepted: 0 and 1")


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays, all or nothing; the same arrays in the same order give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(part, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Tell in one line what zipfile and NumPy raise for a file that is no npz archive."""
    try:
        yield
    except BROKEN as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable npz archive ({reason})") from error


def _headers(path: Path, max_bytes: int) -> dict[str, Header]:
    """Shape and dtype of each array, without unpacking it."""
    with _readable(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    if unpacked > max_bytes:
        raise UserError(f"{path}: unpacks to {unpacked:,} bytes; accepted: up to {max_bytes:,}")
    with _readable(path), zipfile.ZipFile(path) as archive:
        headers = {m.filename.removesuffix(".npy"): _header(archive, m) for m in members}
    for key, (shape, dtype) in headers.items():
        if dtype.hasobject:
            raise UserError(f"{path}: {key} holds pickled objects; accepted: plain numbers")
        if math.prod(shape) * dtype.itemsize > max_bytes:
            raise UserError(f"{path}: {key} has shape {shape}; accepted: up to {max_bytes:,} bytes")
    return headers


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Header:
    with archive.open(member) as file:
        shape, _, dtype = READ_HEADER[np.lib.format.read_magic(file)](file)
    return shape, dtype


def _check_headers(
    path: Path, headers: dict[str, Header], split: str, findings: int, size: int
) -> None:
    images, labels = f"{split}_images", f"{split}_labels"
    for key in (images, labels):
        if key not in headers:
            raise UserError(f"{path}: {key} is missing; it holds {', '.join(headers) or 'nothing'}")
    shape, dtype = headers[images]
    if dtype != np.uint8 or len(shape) != 3 or shape[1:] != (size, size) or not shape[0]:
        accepted = f"uint8 (n, {size}, {size}), n at least 1"
        raise UserError(f"{path}: {images} is {dtype} {shape}; accepted: {accepted}")
    films = shape[0]
    shape, dtype = headers[labels]
    if dtype.kind not in "iu" or shape != (films, findings):
        accepted = f"integer ({films}, {findings})"
        raise UserError(f"{path}: {labels} is {dtype} {shape}; accepted: {accepted}")
