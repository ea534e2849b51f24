"""One split of a data set as memory-mapped arrays: writing, reading, going through it in blocks."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPLITS = ("train", "val", "test")
BLOCK_PIXELS = 1 << 22  # 5,349 images of 28 x 28 pixels, 83 of 224 x 224


@dataclass(frozen=True)
class Split:
    """One split: images (N, H, W) uint8, labels (N,) uint8 of 0 and 1, and, of phantoms only,
    masks (N, H, W) bool of the true findings. Arrays are mapped, not read."""

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: np.ndarray) -> "Split":
        """The images with these indices, copied; all of them, in their order, stay mapped."""
        if np.array_equal(index, np.arange(len(self))):
            return self
        masks = None if self.masks is None else self.masks[index]
        return Split(self.images[index], self.labels[index], masks)


def write(folder: Path, origin: str, splits: Mapping[str, Split]) -> None:
    """One .npy file per array: unlike an .npz it can be mapped into memory without unpacking.

    origin: "phantom" (synthetic, no patients) | "images".
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, split in splits.items():
        for field, array in vars(split).items():
            if array is not None:
                np.save(folder / f"{name}_{field}.npy", array)
    (folder / "origin.txt").write_text(origin + "\n", encoding="utf-8")


def origin(folder: Path) -> str:
    """The origin that `write` was given."""
    return (folder / "origin.txt").read_text(encoding="utf-8").strip()


def read(folder: Path, split: str) -> Split:
    """Map one split of a folder that `write` wrote. Copy on write: changes in memory never reach
    the file, and torch, which warns of read-only arrays, takes these."""
    fields = {
        field: np.load(path, mmap_mode="c")
        for field in ("images", "labels", "masks")
        if (path := folder / f"{split}_{field}.npy").exists()
    }
    return Split(**fields)


def blocks(images) -> Iterator[slice]:
    """Slices that cover (N, H, W) images in order, of about BLOCK_PIXELS each, so that the memory
    needed grows neither with the number of images nor with their size."""
    step = max(1, BLOCK_PIXELS // math.prod(images.shape[1:]))
    for start in range(0, len(images), step):
        yield slice(start, start + step)
