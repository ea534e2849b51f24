"""Labelled images on the device that trains, and the order in which an epoch shows them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from chestflow.data.arrays import Split

EPOCH = 1000  # images that an epoch shows at least: eight steps of the default batch


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


def passes(n: int) -> int:
    """How often an epoch goes through n images: often enough to see EPOCH images. Otherwise, with
    few labels, validation would follow every other step, before batch norm's averages are any good.
    """
    return -(-EPOCH // n)


def epoch_batches(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(passes(n)):
        yield from batches(n, size, generator)


def batches(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Shuffled indices of one pass, in batches. Batch norm cannot work with a single image: a last
    batch of one joins the batch before it."""
    order = torch.randperm(n, generator=generator)
    chunks = list(order.split(size))
    if len(chunks) > 1 and len(chunks[-1]) == 1:
        chunks[-2:] = [torch.cat(chunks[-2:])]
    yield from chunks
