"""Read and write the npz archives of MedMNIST: {train,val,test}_{images,labels}; those of phantoms
also hold _masks and `origin`. A member of an npz archive is an npy file, which can be mapped."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from chestflow.errors import UserError

SPLITS = ("train", "val", "test")
NAMES = ["origin", *(f"{s}_{field}" for s in SPLITS for field in ("images", "labels", "masks"))]
ZIP64_FROM = 2**30  # bytes of an array; a member of a ZIP file ends at 2^31 without it


def unpack(path: Path, folder: Path, size: int) -> dict[str, np.ndarray]:
    """Unpack an archive into a folder and check it; returns its arrays, mapped read-only, by name.

    Accepted are, for each split, images uint8 (n, size, size), n at least 1; labels integer
    (n, findings), from 0 to 255, of several findings 0 and 1; masks, if any, integer and of the
    images' shape. Other arrays may lie beside them. Pickled objects are never loaded. Raises
    UserError with the file, the key, what was received and what is accepted.
    """
    try:
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
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:  # of a damaged file, zipfile and NumPy raise nearly any
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: not a readable npz archive ({reason})") from error


def _check_split(arrays: Mapping[str, np.ndarray], split: str, size: int) -> None:
    for key in (f"{split}_images", f"{split}_labels"):
        if key not in arrays:
            raise UserError(f"{key} is missing; it holds {', '.join(arrays) or 'no such array'}")
    images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    if images.dtype != np.uint8 or images.shape[1:] != (size, size) or not images.size:
        raise _mistake(f"{split}_images", images, f"uint8 (n, {size}, {size}) at pixels = {size}")
    columns = next(iter(arrays["train_labels"].shape[1:]), 1)
    if labels.dtype.kind not in "iu" or labels.shape != (len(images), columns):
        raise _mistake(f"{split}_labels", labels, f"integer ({len(images)}, {columns})")
    lowest, highest, most = labels.min(), labels.max(), 1 if columns > 1 else 255
    if lowest < 0 or highest > most:
        raise UserError(f"{split}_labels: {lowest} to {highest}; accepted: 0 to {most}")
    masks = arrays.get(f"{split}_masks", images)
    if masks.dtype.kind not in "biu" or masks.shape != images.shape:
        raise _mistake(f"{split}_masks", masks, f"integer {images.shape}")


def _mistake(key: str, array: np.ndarray, accepted: str) -> UserError:
    return UserError(f"{key} is {array.dtype} {array.shape}; accepted: {accepted}")


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """As np.savez_compressed; the same arrays in the same order give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # NumPy's function asks for ZIP64 always, and Python's releases differ in how they mark that:
    # with it only where it is needed, all of them write the same bytes.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in arrays.items():
            large = array.nbytes > ZIP64_FROM
            with file.open(f"{name}.npy", "w", force_zip64=large) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
