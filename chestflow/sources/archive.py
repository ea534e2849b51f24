"""Read and write the npz archives of MedMNIST: {train,val,test}_{images,labels}."""

import math
import os
import textwrap
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from chestflow.errors import UserError

SPLITS = ("train", "val", "test")
ZIP64_FROM = 2**30  # bytes of an array; a member of a ZIP file ends at 2^31 without it
MAX_IMAGES = 500_000  # at most, or an archive is taken for a zip bomb; ChestMNIST has 112,120
BYTES_PER_PIXEL = 4  # of an image, its mask and its labels, generously
BLOCK_BYTES = 1 << 22  # of an array that are in memory at a time
LONGEST = 500  # characters of a message, which may quote the archive's names
READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
Header = tuple[tuple[int, ...], bool, np.dtype]


def check(
    path: Path,
    findings: int,
    size: int,
    *,
    classes: int = 2,
    name: str | None = None,
    max_bytes: int | None = None,
) -> None:
    """Accept an archive or say why not.

    Accepted are images uint8 (n, size, size) and labels integer (n, findings), each from 0 to less
    than `classes`, for each split, n at least 1, masks, where there are any, integer or bool and of
    the images' shape; other arrays may lie beside them. Sizes are judged from the headers before
    anything is unpacked, checksums without holding an array in memory, and pickled objects are
    never loaded.
    `name`: what messages call the file, by default its path; `max_bytes`: of all arrays together,
    by default of MAX_IMAGES images of this size.
    Raises UserError with the file, the key, what was received and what is accepted.
    """
    try:
        headers = _headers(path, max_bytes or MAX_IMAGES * BYTES_PER_PIXEL * size**2)
        for split in SPLITS:
            _check_headers(headers, split, findings, size)
        _unpack(path)
        for key in (f"{split}_labels" for split in SPLITS):
            with _readable():
                held = np.unique(read(path, key))
            if strange := sorted(set(held.tolist()) - set(range(classes))):
                accepted = "0 and 1" if classes == 2 else f"0 to {classes - 1}"
                raise UserError(f"{key} holds {strange[0]}; accepted: {accepted}")
    except UserError as error:
        said = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(error))
        reason = textwrap.shorten(said, LONGEST, placeholder=" ...")
        raise UserError(f"{name or path}: {reason}") from error


def keys(path: Path) -> list[str]:
    """Names of the arrays."""
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def is_phantom(path: Path) -> bool:
    """Whether array `origin` is the word that marks phantoms; an archive of the user's own may hold
    anything under that name."""
    if "origin" not in keys(path):
        return False
    with zipfile.ZipFile(path) as archive, archive.open("origin.npy") as member:
        _read_header(member)
        return member.read(100).replace(b"\0", b"") == b"phantom"  # each letter has four bytes


def read(path: Path, key: str) -> np.ndarray:
    """One array, whole."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
        shape, is_fortran, dtype = _read_header(member)
        return np.frombuffer(member.read(), dtype).reshape(shape, order="F" if is_fortran else "C")


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
def _readable() -> Iterator[None]:
    """Tell in one line what zipfile and NumPy raise for a file that is no npz archive: there is
    hardly an exception that neither they nor one of their four decompressors raises."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"not a readable npz archive ({reason})") from error


def _headers(path: Path, max_bytes: int) -> dict[str, Header]:
    """Shape, order and dtype of each array, without unpacking it."""
    with _readable(), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        if unpacked > max_bytes:
            raise UserError(f"unpacks to {unpacked:,} bytes; accepted: up to {max_bytes:,}")
        headers: dict[str, Header] = {}
        for info in members:
            key = info.filename.removesuffix(".npy")
            if not info.filename.endswith(".npy"):
                raise UserError(f"holds {key}, which is no array; accepted: members named *.npy")
            if key in headers:  # readers differ in which one they take
                raise UserError(f"holds {key} more than once; accepted: once")
            with archive.open(info) as member:
                headers[key] = shape, _, dtype = _read_header(member)
                held = info.file_size - member.tell()
            if dtype.hasobject:
                raise UserError(f"{key} holds pickled objects; accepted: plain numbers")
            if held != (wanted := math.prod(shape) * dtype.itemsize):
                holds = f"{dtype} {shape}, but holds {held:,} bytes; accepted: {wanted:,}"
                raise UserError(f"{key} is {holds}")
    return headers


def _read_header(member: IO[bytes]) -> Header:
    """Shape, whether columns come first (Fortran's order), and dtype; leaves off at the values."""
    version = np.lib.format.read_magic(member)
    if version not in READ_HEADER:
        raise ValueError(f"version {version} of the npy format; accepted: 1.0 and 2.0")
    with warnings.catch_warnings(action="ignore"):  # one that Python 2 has written is as good
        return READ_HEADER[version](member)


def _check_headers(headers: dict[str, Header], split: str, findings: int, size: int) -> None:
    images, labels, masks = (f"{split}_{part}" for part in ("images", "labels", "masks"))
    for key in (images, labels):
        if key not in headers:
            raise UserError(f"{key} is missing; it holds {', '.join(headers) or 'nothing'}")
    shape, is_fortran, dtype = headers[images]
    if dtype != np.uint8 or len(shape) != 3 or shape[1:] != (size, size) or not shape[0]:
        accepted = f"accepted at {size} pixels: uint8 (n, {size}, {size}), n at least 1"
        raise UserError(f"{images} is {dtype} {shape}; {accepted}")
    if is_fortran:
        raise UserError(f"{images} is in Fortran's order; accepted: C's, image after image")
    if masks in headers:
        found, is_fortran, dtype = headers[masks]
        if found != shape or is_fortran or dtype.kind not in "biu":
            order = " in Fortran's order" if is_fortran else ""
            accepted = f"integer or bool {shape} in C's order"
            raise UserError(f"{masks} is {dtype} {found}{order}; accepted: {accepted}")
    wanted = (shape[0], findings)
    shape, _, dtype = headers[labels]
    if dtype.kind not in "iu" or shape != wanted:
        raise UserError(f"{labels} is {dtype} {shape}; accepted: integer {wanted}")


def _unpack(path: Path) -> None:
    """Read every member to its end, as its checksum demands; nothing is kept."""
    with _readable(), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            held = 0
            with archive.open(info) as member:
                while block := member.read(BLOCK_BYTES):
                    held += len(block)
            if held != info.file_size:  # of which the checksum says nothing
                raise UserError(f"{info.filename} ends after {held:,} of {info.file_size:,} bytes")
