"""Labelled images on the device that trains, and the order in which training shows them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from chestflow.data.arrays import Split

EPOCH = 40  # steps between two looks at the validation images; about one pass through 5,000 images


@dataclass(frozen=True)
class Samples:
    """One split on the device that trains: images (N, H, W) uint8, labels (N,) int64."""

    images: Tensor
    labels: Tensor

    @classmethod
    def to(cls, device: torch.device, split: Split) -> "Samples":
        """On the CPU, mapped images stay in their file; to a GPU they are copied whole."""
        images, labels = (torch.from_numpy(a) for a in (split.images, split.labels))
        return cls(images.to(device), labels.long().to(device))


def epochs(steps: int) -> int:
    """How many epochs so many steps are; the last may be shorter."""
    return -(-steps // EPOCH)


def batches(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of shuffled indices of n images without end, pass after pass.

    All have the same number of images, `size` or, of fewer images, n: what a pass cannot fill
    another batch with is left out of it.
    """
    size = min(size, n)
    while True:
        yield from torch.randperm(n, generator=generator).split(size)[: n // size]
