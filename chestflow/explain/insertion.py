"""Insertion (Petsiuk et al. 2018, RISE, sec. 4.3): does a map mark what the network uses?

Deletion, the other half of that test, is left out. Of phantoms' validation images the true findings
are known, and maps of them should win: in insertion they do (area .837 against .755 of a blob in
the middle), in deletion they lose (.406 against .314; lower is better), because most of the curve
depends on the order of the pixels around the finding.
"""

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chestflow.data.arrays import blocks
from chestflow.metrics import comparison, intervals
from chestflow.models.inference import in_batches

STEPS = 10  # with 28, areas change by .009 to .017 on average, and their mean by up to .008
GRID = 7  # side of the noise that orders ties: of GradCAM's map of a 28-pixel image


def areas(
    model: nn.Module,
    images: Tensor,
    maps: np.ndarray,
    target: int,
    replacement: Tensor,
    seed: int = 0,
) -> np.ndarray:
    """Areas (M, N) under the curve of the target's probability while pixels are inserted, the
    highest of the map first; higher is better. Equal pixels come in random order.

    images: (N, H, H) uint8 that the network classifies as the target, because others hold hardly
    any evidence; maps: (M, N, H, H), M for each image; replacement: (H, H) uint8, into which pixels
    are inserted. For the target diseased, use `healthy_mean`. The constant and blurred images of
    Petsiuk et al. do not work here: the network calls blurred chests diseased, so that not even a
    map of the true finding beats random maps. Call `model.eval()` before.
    """
    fast = copy.deepcopy(model).to(memory_format=torch.channels_last)  # half the time on a CPU

    def probability(batch: Tensor) -> np.ndarray:
        return in_batches(fast, batch).softmax(dim=1)[:, target].cpu().double().numpy()

    pixels = images.shape[1] * images.shape[2]
    inserted = [round(step * pixels / STEPS) for step in range(STEPS + 1)]
    replacement = replacement.to(images.device)
    whole, none = probability(images), probability(replacement[None]).repeat(len(images))
    ties = random_maps(len(images), images.shape[-1], seed)
    found = []
    for each in maps:
        rank = torch.from_numpy(ranks(each, ties)).to(images.device)
        mixed = (torch.where(rank < count, images, replacement) for count in inserted[1:-1])
        curve = [none, *map(probability, mixed), whole]  # the ends are the same for all maps
        found.append(np.trapezoid(np.array(curve), inserted, axis=0) / pixels)
    return np.stack(found)


def random_maps(n: int, side: int, seed: int) -> np.ndarray:
    """(n, side, side) float32 from 0 to 1: noise of GRID x GRID cells, upsampled like GradCAM's.
    Single pixels at random would make images unlike any that the network was trained on."""
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


def report(own: dict[str, np.ndarray], fixed: dict[str, np.ndarray]) -> dict:
    """Areas of the images' own maps beside those of maps that are the same for all images.

    own: by method, fixed: by map, (K, N) areas each, of K trainings and N images. Returns the mean
    areas, which fixed map is the strongest, and by method the difference from that one
    (`comparison.paired_difference`). Since the strongest is chosen on these images, it is favoured.
    """
    means = {name: float(values.mean()) for name, values in fixed.items()}
    strongest = max(means, key=means.__getitem__)
    rival = intervals.mean(fixed[strongest])
    return {
        "n": rival.influence.shape[1],
        "fixed": means,
        "strongest": strongest,
        "own": {name: float(values.mean()) for name, values in own.items()},
        "difference": {
            name: comparison.paired_difference(intervals.mean(values), rival)
            for name, values in own.items()
        },
    }
