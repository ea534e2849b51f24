"""Insertion (Petsiuk et al. 2018, RISE, sec. 4.3): does a map mark what the network uses?

Deletion, the other half of that test, is left out: maps of the true findings of phantoms should win
both, and lose it, since it depends on the order of the pixels around them (docs/experiments.md).
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from chestflow.metrics import comparison, intervals
from chestflow.models.cnn import Classifier
from chestflow.models.inference import probabilities

STEPS = 10  # with 28, areas change by .009 to .017 on average, and their mean by up to .008
GRID = 7  # side of the noise that orders ties: of GradCAM's map of a 28-pixel image


def areas(model: Classifier, images: Tensor, maps: np.ndarray, healthy: Tensor) -> np.ndarray:
    """Areas (N,) under the curve of the probability of disease while pixels are inserted, the
    highest of the map first; higher is better. Equal pixels come in random order.

    images: (N, H, H) uint8 that the network calls diseased, because others hold hardly any
    evidence; maps: (N, H, H), or (H, H) for all images; healthy: (H, H) uint8, into which pixels
    are inserted: `healthy_mean`, because networks call the blurred images of Petsiuk et al.
    diseased, and not even a map of the true finding beats random maps. Call `model.eval()` before.
    """
    n, side, _ = images.shape
    rank = ranks(np.broadcast_to(maps, images.shape), random_maps(n, side))
    first = torch.from_numpy(rank).to(images.device)
    counts = [round(step * side**2 / STEPS) for step in range(STEPS + 1)]
    mixed = (torch.where(first < count, images, healthy) for count in counts)
    curve = [probabilities(model, batch) for batch in mixed]
    return np.trapezoid(np.array(curve), counts, axis=0) / side**2


def random_maps(n: int, side: int) -> np.ndarray:
    """(n, side, side) float32 from 0 to 1: noise of GRID x GRID cells, upsampled like GradCAM's.
    Single pixels at random would make images unlike any that the network was trained on."""
    noise = torch.from_numpy(np.random.default_rng(0).random((n, 1, GRID, GRID), np.float32))
    return F.interpolate(noise, (side, side), mode="bilinear", align_corners=False)[:, 0].numpy()


def ranks(maps: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """(N, H, W): 0 for the highest pixel of each map, H W - 1 for the lowest; of equal ones, the
    higher in `ties`, (N, H, W), comes first."""
    flat, other = (-values.reshape(len(maps), -1) for values in (maps, ties))
    order = np.lexsort((other, flat), axis=1)
    return order.argsort(axis=1).reshape(maps.shape)


def healthy_mean(images: np.ndarray, labels: np.ndarray) -> Tensor:
    """(H, W) uint8: the mean of those of the (N, H, W) uint8 images whose label is 0; one at least
    must be."""
    mean = images.mean(axis=0, where=(labels == 0)[:, None, None])
    return torch.from_numpy(np.rint(mean).astype(np.uint8))


def centred(side: int) -> np.ndarray:
    """(side, side) from 0 to 1: a Gaussian in the middle, with a quarter of the side as its sd."""
    place = (np.arange(side) - (side - 1) / 2) / (side / 4)
    return np.exp(-(place[:, None] ** 2 + place**2) / 2).astype(np.float32)


def report(own: dict[str, np.ndarray], fixed: dict[str, np.ndarray]) -> dict:
    """Areas of the images' own maps beside those of maps that are the same for all images.

    own: by method, fixed: by map, (K, N) areas each, of K trainings and N images. Returns which
    fixed map is the strongest, and by method the difference from that one
    (`comparison.paired_difference`). Since the strongest is chosen on these images, it is favoured.
    """
    strongest = max(fixed, key=lambda name: fixed[name].mean())
    rival = intervals.mean(fixed[strongest])
    differences = {
        name: comparison.paired_difference(intervals.mean(values), rival)
        for name, values in own.items()
    }
    return {"n": fixed[strongest].shape[1], "strongest": strongest, "difference": differences}
