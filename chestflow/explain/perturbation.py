"""Deletion and insertion (Petsiuk et al. 2018, RISE, sec. 4.3): does a map mark the pixels that the
network uses? The baseline is random maps that are as smooth as GradCAM's."""

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chestflow.data.arrays import blocks
from chestflow.models.inference import in_batches

STEPS = 10  # with 28, areas change by .009 to .017 on average, and their mean by up to .008
GRID = 7  # side of GradCAM's map of a 28-pixel image at the last convolution, before upsampling


def beside_random_maps(
    model: nn.Module,
    images: Tensor,
    maps: np.ndarray,
    target: int,
    replacement: Tensor,
    draws: int,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Four values for each image, (N,) each. `deletion` and `insertion` are areas under the curve
    of the target's probability while pixels are deleted (lower is better) or inserted (higher is
    better), the highest of the map first. `deletion_difference` and `insertion_difference` are
    these areas minus their means over `draws` random maps: a map that shows what the network uses
    has a negative difference in deletion, and a positive one in insertion. Pixels with equal
    values in the map are taken in random order.

    images: (N, H, H) uint8 that the network classifies as the target, because others hold hardly
    any evidence to delete; maps: (N, H, H) from 0 to 1; replacement: (H, H) uint8, the image that
    pixels are taken from when they are deleted, or not yet inserted. For the target diseased, use
    `healthy_mean`. The constant and blurred images of Petsiuk et al. do not work here: the network
    calls blurred chests diseased, so that not even a map of the true finding beats random maps.
    Call `model.eval()` before.
    """
    random = random_maps(draws * len(images), images.shape[-1], seed + 1)
    compared = np.concatenate([maps[None], random.reshape(draws, *maps.shape)])
    areas = dict(
        zip(
            ("deletion", "insertion"),
            curve_areas(model, images, compared, target, replacement, seed),
        )
    )
    own = {name: values[0] for name, values in areas.items()}
    return own | {
        f"{name}_difference": values[0] - values[1:].mean(axis=0) for name, values in areas.items()
    }


def curve_areas(
    model: nn.Module,
    images: Tensor,
    maps: np.ndarray,
    target: int,
    replacement: Tensor,
    seed: int,
) -> np.ndarray:
    """Maps (M, N, H, W), M for each image -> areas (2, M, N), of deletion and of insertion. The
    ends of the curves are the same for all maps, so they are computed once."""
    fast = copy.deepcopy(model).to(memory_format=torch.channels_last)  # half the time on a CPU

    def probability(batch: Tensor) -> np.ndarray:
        return in_batches(fast, batch).softmax(dim=1)[:, target].cpu().double().numpy()

    pixels = images.shape[1] * images.shape[2]
    taken = [round(step * pixels / STEPS) for step in range(STEPS + 1)]
    replacement = replacement.to(images.device)
    whole, none = probability(images), probability(replacement[None]).repeat(len(images))
    ties = random_maps(len(images), images.shape[-1], seed)
    areas = np.empty((2, len(maps), len(images)))
    for i, each in enumerate(maps):
        rank = torch.from_numpy(ranks(each, ties)).to(images.device)
        deletion, insertion = [whole], [none]
        for count in taken[1:-1]:
            first = rank < count
            deletion.append(probability(torch.where(first, replacement, images)))
            insertion.append(probability(torch.where(first, images, replacement)))
        curves = [*deletion, none], [*insertion, whole]
        areas[:, i] = np.trapezoid(np.array(curves), taken, axis=1) / pixels
    return areas


def random_maps(n: int, side: int, seed: int) -> np.ndarray:
    """(n, side, side) float32 from 0 to 1: noise of GRID x GRID cells, upsampled like GradCAM's.
    Single pixels deleted at random would make images unlike any that the network was trained on."""
    noise = np.random.default_rng(seed).random((n, 1, GRID, GRID), dtype=np.float32)
    upsampled = F.interpolate(
        torch.from_numpy(noise), (side, side), mode="bilinear", align_corners=False
    )
    return upsampled[:, 0].numpy()


def ranks(maps: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """(N, H, W) int32: 0 for the highest pixel of each map, H W - 1 for the lowest; of equal ones,
    the higher in `ties`, (N, H, W), comes first."""
    flat, other = (-values.reshape(len(maps), -1) for values in (maps, ties))
    order = np.lexsort((other, flat), axis=1)
    rank = np.empty(order.shape, np.int32)
    np.put_along_axis(rank, order, np.arange(order.shape[1], dtype=np.int32)[None], axis=1)
    return rank.reshape(maps.shape)


def healthy_mean(images: np.ndarray, labels: np.ndarray) -> Tensor:
    """(H, W) uint8: the mean of those of the (N, H, W) uint8 images whose label is 0; one at least
    must be."""
    total = sum(
        images[part][labels[part] == 0].sum(axis=0, dtype=np.int64) for part in blocks(images)
    )
    return torch.from_numpy(np.rint(total / np.sum(labels == 0)).astype(np.uint8))
