"""Films and labels in memory-mapped arrays: reading, drawing labelled subsets."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.lib.errors import UserError

if TYPE_CHECKING:  # a stage that works on arrays alone need not wait for torch
    from torch import Tensor

SPLITS = ("train", "val", "test")
BLOCK_PIXELS = 1 << 22  # 5,349 films of 28 x 28 pixels, 83 of 224 x 224


@dataclass(frozen=True)
class About:
    """What a data set is: its honest title, its kind and what its two classes are called."""

    title: str
    origin: str  # "phantom" (synthetic, no patients) | "films"
    classes: tuple[str, str]

    def caption(self) -> str:
        """The words that stand on every figure and in every metrics file."""
        return f"{self.title} PHANTOM" if self.is_phantom else self.title

    @property
    def is_phantom(self) -> bool:
        return self.origin == "phantom"


@dataclass(frozen=True)
class Parts:
    """An array to be written that comes in consecutive parts, for whole it may not fit into
    memory."""

    shape: tuple[int, ...]
    dtype: type
    parts: Iterable[np.ndarray]


@dataclass(frozen=True)
class Split:
    """One split: images (N, H, W) uint8, labels (N,) uint8 of 0 and 1, and, of phantoms only,
    masks (N, H, W) bool of the true findings. Arrays are mapped, not read; to be written, they may
    come in parts."""

    images: np.ndarray | Parts
    labels: np.ndarray
    masks: np.ndarray | Parts | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: np.ndarray) -> "Split":
        """The films with these indices, copied; but all of them in their order stay mapped."""
        if np.array_equal(index, np.arange(len(self))):
            return self
        masks = None if self.masks is None else self.masks[index]
        return Split(self.images[index], self.labels[index], masks)


def binary_labels(labels: np.ndarray) -> np.ndarray:
    """(N, findings) of 0 and 1 -> (N,) uint8: 1 where a film has any finding."""
    return (labels > 0).any(axis=1).astype(np.uint8)


def split_of(arrays: Mapping[str, np.ndarray], name: str) -> Split:
    """One split of arrays in MedMNIST's layout, with binary labels; of a phantom with its masks."""
    images, labels, masks = (arrays.get(f"{name}_{f}") for f in ("images", "labels", "masks"))
    return Split(images, binary_labels(labels), None if masks is None else masks > 0)


def write(folder: Path, about: About, splits: dict[str, Split]) -> None:
    """One .npy file per array: unlike an .npz it can be mapped into memory without unpacking."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, split in splits.items():
        for field in ("images", "labels", "masks"):
            if (array := getattr(split, field)) is not None:
                _save(folder / f"{name}_{field}.npy", array)
    (folder / "about.json").write_text(json.dumps(about.__dict__, indent=2) + "\n")


def _save(path: Path, array: np.ndarray | Parts) -> None:
    """Write a .npy file; parts that make up less or more than their shape are an error of ours."""
    parts = array.parts if isinstance(array, Parts) else [np.asarray(array)]
    dtype, written = np.dtype(array.dtype), 0
    layout = {"descr": dtype.str, "fortran_order": False, "shape": tuple(array.shape)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, layout)
        for part in parts:
            written += file.write(np.ascontiguousarray(part, dtype).data)
    assert written == math.prod(array.shape) * dtype.itemsize, path


def read(folder: Path, split: str) -> Split:
    """Map one split of a folder that `write` wrote: what is changed in memory (copy on write)
    never reaches the file, and torch takes the arrays over as they are."""
    fields = {
        field: np.load(path, mmap_mode="c")
        for field in ("images", "labels", "masks")
        if (path := Path(folder) / f"{split}_{field}.npy").exists()
    }
    return Split(**fields)


def read_about(folder: Path) -> About:
    about = json.loads((Path(folder) / "about.json").read_text())
    return About(about["title"], about["origin"], tuple(about["classes"]))


def draw(labels: np.ndarray, n: int | str, seed: int, key: str) -> np.ndarray:
    """Indices of n films, stratified by class, drawn by seed and in ascending order.

    labels: (N,) of 0 and 1; n: how many, or "all"; key: the parameter's name, for the messages.
    A smaller draw of the same seed is part of a larger one, so that curves over n are nested.
    Raises UserError where there are fewer films than asked for or a class would be left empty.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise UserError(f"{key}: all {len(labels)} films are of one class; two are needed")
    if n == "all":
        return np.arange(len(labels))
    accepted = f"accepted: {len(labels) // (2 * counts.min()) + 1} to {len(labels)}, or all"
    if n > len(labels):
        raise UserError(f"{key} = {n} is more than there are; {accepted}")
    positives = round(n * counts[1] / len(labels))
    if positives == 0 or positives == n:
        share = counts.min() / len(labels)
        raise UserError(f"{key} = {n} leaves a class empty (its share is {share:.3f}); {accepted}")
    order = np.random.default_rng(seed).permutation(len(labels))
    drawn = [order[labels[order] == c][:k] for c, k in ((0, n - positives), (1, positives))]
    return np.sort(np.concatenate(drawn))


def blocks(images: "np.ndarray | Tensor") -> Iterator[slice]:
    """Slices that cover (N, H, W) images in order, of about BLOCK_PIXELS each: what is computed
    with whole films at a time needs as much memory for many and large ones as for few."""
    step = max(1, BLOCK_PIXELS // math.prod(images.shape[1:]))
    for start in range(0, len(images), step):
        yield slice(start, start + step)
