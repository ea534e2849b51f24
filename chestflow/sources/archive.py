"""Read and write the npz archives of MedMNIST: {train,val,test}_{images,labels}, of phantoms also
_masks. A member of an npz archive is an npy file: unpacked, it can be mapped into memory."""

import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from chestflow.errors import UserError

SPLITS = ("train", "val", "test")
NAMES = [f"{split}_{field}" for split in SPLITS for field in ("images", "labels", "masks")]
ZIP64_FROM = 2**30  # bytes of an array; a member of a ZIP file ends at 2^31 without it


def read(path: Path, key: str) -> np.ndarray:
    """One array, whole."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[key]


def is_phantom(path: Path) -> bool:
    """Whether array `origin` is the word that marks phantoms."""
    with _readable(path), np.load(path, allow_pickle=False) as arrays:
        return "origin" in arrays and arrays["origin"].tolist() == "phantom"


def unpack(path: Path, folder: Path, size: int) -> dict[str, np.ndarray]:
    """Unpack an archive into a folder and check it; returns its arrays, mapped read-only, by name.

    Accepted are, for each split, images uint8 (n, size, size), n at least 1, and labels integer
    (n, findings) from 0 to 255, of several findings 0 and 1; masks, where there are any, integer or
    bool and of the images' shape; other arrays may lie beside them. Pickled objects are never
    loaded. Raises UserError with the file, the key, what was received and what is accepted.
    """
    with _readable(path):
        with zipfile.ZipFile(path) as archive:
            held = set(archive.namelist())
            members = {name: f"{name}.npy" for name in NAMES if f"{name}.npy" in held}
            archive.extractall(folder, members.values())  # compares the checksums
        arrays = {
            name: np.load(folder / member, mmap_mode="r", allow_pickle=False)
            for name, member in members.items()
        }
        for split in SPLITS:
            _check_split(arrays, split, size)
        return arrays


def _check_split(arrays: Mapping[str, np.ndarray], split: str, size: int) -> None:
    images, labels = (_array(arrays, f"{split}_{field}") for field in ("images", "labels"))
    if images.dtype != np.uint8 or images.shape[1:] != (size, size) or not images.size:
        raise _mistake(f"{split}_images", images, f"uint8 (n, {size}, {size}) at pixels = {size}")
    columns = next(iter(arrays["train_labels"].shape[1:]), 1)
    if labels.dtype.kind not in "iu" or labels.shape != (len(images), columns):
        raise _mistake(f"{split}_labels", labels, f"integer ({len(images)}, {columns})")
    masks = arrays.get(f"{split}_masks", images)
    if masks.dtype.kind not in "biu" or masks.shape != images.shape:
        raise _mistake(f"{split}_masks", masks, f"integer or bool {images.shape}")
    end = 2 if columns > 1 else 256
    if labels.min() < 0 or labels.max() >= end:
        held = f"{labels.min()} to {labels.max()}"
        raise UserError(f"{split}_labels holds {held}; accepted: 0 to {end - 1}")


def _array(arrays: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    if key not in arrays:
        raise UserError(f"{key} is missing; it holds {', '.join(arrays) or 'none of the arrays'}")
    return arrays[key]


def _mistake(key: str, array: np.ndarray, accepted: str) -> UserError:
    return UserError(f"{key} is {array.dtype} {array.shape}; accepted: {accepted}")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn whatever zipfile and NumPy raise for a damaged file, which can be nearly any exception,
    into a UserError that names the file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: not a readable npz archive ({reason})") from error


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
    finally:
        part.unlink(missing_ok=True)
