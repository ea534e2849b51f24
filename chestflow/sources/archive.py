"""Read and write the npz archives of MedMNIST: {train,val,test}_{images,labels}."""

import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from chestflow.core.errors import UserError

SPLITS = ("train", "val", "test")
ZIP64_FROM = 2**30  # bytes of an array; a member of a ZIP file ends at 2^31 without it
MAX_IMAGES = 500_000  # at most, or an archive is taken for a zip bomb; ChestMNIST has 112,120
BYTES_PER_PIXEL = 4  # of an image, its mask and its labels, generously
BLOCK_BYTES = 1 << 22  # of an array that are in memory at a time
READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
BROKEN = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, RuntimeError, KeyError, OSError)
Header = tuple[tuple[int, ...], bool, np.dtype]


def check(path: Path, findings: int, size: int, *, max_bytes: int | None = None) -> None:
    """Accept an archive or say why not.

    Accepted are images uint8 (n, size, size) and labels integer (n, findings) of 0 and 1 for each
    split, n at least 1, masks, where there are any, of the images' shape; other arrays may lie
    beside them. Sizes are judged from the headers before anything is unpacked, checksums without
    holding an array in memory, and pickled objects are never loaded.
    `max_bytes`: of all arrays together; by default of MAX_IMAGES images of this size.
    Raises UserError with the file, the key, what was received and what is accepted.
    """
    headers = _headers(path, max_bytes or MAX_IMAGES * BYTES_PER_PIXEL * size**2)
    for split in SPLITS:
        _check_headers(path, headers, split, findings, size)
    with _readable(path), zipfile.ZipFile(path) as archive:
        if broken := archive.testzip():
            raise zipfile.BadZipFile(f"bad checksum of {broken}")
    for split in SPLITS:
        if strange := sorted(set(np.unique(read(path, f"{split}_labels")).tolist()) - {0, 1}):
            raise UserError(f"{path}: {split}_labels holds {strange[0]}; accepted: 0 and 1")


def keys(path: Path) -> list[str]:
    """Names of the arrays."""
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read(path: Path, key: str) -> np.ndarray:
    """One array, whole."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[key]


def shape_of(path: Path, key: str) -> tuple[int, ...]:
    """The shape of an array, from its header."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
        return _read_header(member)[0]


def blocks(path: Path, key: str) -> Iterator[np.ndarray]:
    """An array as consecutive parts of its first axis, of BLOCK_BYTES or one row each."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
        (rows, *inner), _, dtype = _read_header(member)
        row = math.prod(inner) * dtype.itemsize
        step = max(1, BLOCK_BYTES // row)
        for start in range(0, rows, step):
            count = min(step, rows - start)
            yield np.frombuffer(member.read(count * row), dtype).reshape(count, *inner)


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays, all or nothing; the same arrays in the same order give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        # As np.savez_compressed, which asks for ZIP64 always, and Python's releases differ in how
        # they mark that: with it only where it is needed, all of them write the same bytes.
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
            for name, array in arrays.items():
                large = array.nbytes > ZIP64_FROM
                with file.open(f"{name}.npy", "w", force_zip64=large) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
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
    """Shape, order and dtype of each array, without unpacking it."""
    with _readable(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    if unpacked > max_bytes:
        raise UserError(f"{path}: unpacks to {unpacked:,} bytes; accepted: up to {max_bytes:,}")
    headers, held = {}, {}
    with _readable(path), zipfile.ZipFile(path) as archive:
        for info in members:
            key = info.filename.removesuffix(".npy")
            with archive.open(info) as member:
                headers[key] = _read_header(member)
                held[key] = info.file_size - member.tell()
    for key, (shape, _, dtype) in headers.items():
        if dtype.hasobject:
            raise UserError(f"{path}: {key} holds pickled objects; accepted: plain numbers")
        if held[key] != (wanted := math.prod(shape) * dtype.itemsize):
            holds = f"{dtype} {shape}, but holds {held[key]:,} bytes; accepted: {wanted:,}"
            raise UserError(f"{path}: {key} is {holds}")
    return headers


def _read_header(member: IO[bytes]) -> Header:
    """Shape, whether columns come first (Fortran's order), and dtype; leaves off at the values."""
    return READ_HEADER[np.lib.format.read_magic(member)](member)


def _check_headers(
    path: Path, headers: dict[str, Header], split: str, findings: int, size: int
) -> None:
    images, labels = f"{split}_images", f"{split}_labels"
    for key in (images, labels):
        if key not in headers:
            raise UserError(f"{path}: {key} is missing; it holds {', '.join(headers) or 'nothing'}")
    shape, is_fortran, dtype = headers[images]
    if dtype != np.uint8 or len(shape) != 3 or shape[1:] != (size, size) or not shape[0]:
        accepted = f"accepted at {size} pixels: uint8 (n, {size}, {size}), n at least 1"
        raise UserError(f"{path}: {images} is {dtype} {shape}; {accepted}")
    if is_fortran:
        raise UserError(f"{path}: {images} is in Fortran's order; accepted: C's, image after image")
    n_images = shape[0]
    if (masks := f"{split}_masks") in headers and headers[masks][:2] != (shape, False):
        raise UserError(f"{path}: {masks} is {headers[masks][0]}; accepted: {shape} in C's order")
    shape, _, dtype = headers[labels]
    if dtype.kind not in "iu" or shape != (n_images, findings):
        accepted = f"integer ({n_images}, {findings})"
        raise UserError(f"{path}: {labels} is {dtype} {shape}; accepted: {accepted}")
