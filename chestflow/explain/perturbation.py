"""Deletion and insertion (Petsiuk et al. 2018, RISE, sec. 4.3): does a map name the pixels that the
network decides by? And their baseline, random maps as smooth as GradCAM's."""

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chestflow.data.arrays import blocks
from chestflow.models.inference import in_batches

STEPS = 10  # 28 move an image's area by .009 to .017 on average, and the mean by up to .008
GRID = 7  # side of GradCAM's map of a 28-pixel image at the last convolution, before upsampling


def deletion_insertion(
    model: nn.Module,
    images: Tensor,
    maps: np.ndarray,
    target: int,
    replacement: Tensor,
    steps: int = STEPS,
    grid: int = GRID,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Area under the target's probability over the share of pixels taken, those that the map
    calls most important first, (N,) each: while they are deleted (lower is better), and while they
    are inserted (higher is better).

    images: (N, H, H) uint8; maps: (N, H, H) from 0 to 1; replacement: (H, H) uint8, what stands
    where a pixel is deleted, or not yet inserted: `healthy_mean` of the training images for the
    target diseased; steps: how many equal parts of the pixels are taken one after another; call
    `model.eval()` before.
    Petsiuk's constant and blurred image are no absence of disease to a network that has only seen
    chests: it calls blurred ones diseased, and then not even a map of the true finding beats random
    ones, whereas with the mean of healthy chests it does.
    Pixels on which a map is equal, all of an empty one, are taken in the order of a random map of
    `grid` and `seed`.
    """
    areas = _areas(model, images, maps[None], target, replacement, steps, grid, seed)
    return areas[0, 0], areas[1, 0]


def beside_random_maps(
    model: nn.Module,
    images: Tensor,
    maps: np.ndarray,
    target: int,
    replacement: Tensor,
    draws: int,
    steps: int = STEPS,
    grid: int = GRID,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """`deletion` and `insertion` of each image's map, and, as `deletion_difference` and
    `insertion_difference`, the same minus their mean over so many random maps: (N,) each. A map
    that shows what the network decides by has a negative difference in deletion, and a positive
    one in insertion. To be asked of images that the network calls the target: in the others there
    is hardly any evidence to take away. Arguments as for `deletion_insertion`.
    """
    random = random_maps(draws * len(images), grid, images.shape[-1], seed + 1)
    compared = np.concatenate([maps[None], random.reshape(draws, *maps.shape)])
    areas = _areas(model, images, compared, target, replacement, steps, grid, seed)
    found = dict(zip(("deletion", "insertion"), areas))
    return {name: values[0] for name, values in found.items()} | {
        f"{name}_difference": values[0] - values[1:].mean(axis=0) for name, values in found.items()
    }


def random_maps(n: int, grid: int, side: int, seed: int) -> np.ndarray:
    """(n, side, side) float32 from 0 to 1: noise of grid x grid cells, upsampled as GradCAM's maps.
    Taking pixels one by one at random would turn an image into one that no network has seen."""
    noise = np.random.default_rng(seed).random((n, 1, grid, grid), dtype=np.float32)
    upsampled = F.interpolate(
        torch.from_numpy(noise), (side, side), mode="bilinear", align_corners=False
    )
    return upsampled[:, 0].numpy()


def ranks(maps: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """(N, H, W) int32: 0 for the highest pixel of each map, H W - 1 for the lowest; of equal ones,
    the higher in `ties`, (N, H, W), comes first."""
    flat, other = (-values.reshape(len(maps), -1) for values in (maps, ties))
    order = np.lexsort((other, flat), axis=1)
    found = np.empty(order.shape, np.int32)
    np.put_along_axis(found, order, np.arange(order.shape[1], dtype=np.int32)[None], axis=1)
    return found.reshape(maps.shape)


def healthy_mean(images: np.ndarray, labels: np.ndarray) -> Tensor:
    """(H, W) uint8: the mean of those of the (N, H, W) uint8 images whose label is 0; one at least
    must be."""
    total = sum(
        images[part][labels[part] == 0].sum(axis=0, dtype=np.int64) for part in blocks(images)
    )
    return torch.from_numpy(np.rint(total / np.sum(labels == 0)).astype(np.uint8))


def _areas(
    model: nn.Module,
    images: Tensor,
    maps: np.ndarray,
    target: int,
    replacement: Tensor,
    steps: int,
    grid: int,
    seed: int,
) -> np.ndarray:
    """(M, N, H, W) maps, M of each image -> areas (2, M, N): of deletion and of insertion. The
    ends of the curves are the same for all maps, and computed once."""
    fast = copy.deepcopy(model).to(memory_format=torch.channels_last)  # half the time on a CPU

    def asked(shown: Tensor) -> np.ndarray:
        return in_batches(fast, shown).softmax(dim=1)[:, target].cpu().double().numpy()

    pixels = images.shape[1] * images.shape[2]
    taken = [round(step * pixels / steps) for step in range(steps + 1)]
    replacement = replacement.to(images.device)
    whole, none = asked(images), asked(replacement[None]).repeat(len(images))
    ties = random_maps(len(images), grid, images.shape[-1], seed)
    areas = np.empty((2, len(maps), len(images)))
    for i, each in enumerate(maps):
        rank = torch.from_numpy(ranks(each, ties)).to(images.device)
        deletion, insertion = [whole], [none]
        for count in taken[1:-1]:
            first = rank < count
            deletion.append(asked(torch.where(first, replacement, images)))
            insertion.append(asked(torch.where(first, images, replacement)))
        curves = [*deletion, none], [*insertion, whole]
        areas[:, i] = np.trapezoid(np.array(curves), taken, axis=1) / pixels
    return areas
