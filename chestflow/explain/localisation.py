"""Do maps show where the true finding is? The pointing game, beside one fixed pixel and networks
with random weights; and the choice of the images that the figure shows."""

import copy

import numpy as np
import torch
from scipy import stats

from chestflow.metrics import comparison, intervals
from chestflow.models.cnn import Classifier


def pointing_hits(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """1 if a map's maximum lies in the true mask, else 0 (Zhang et al. 2018); of tied maxima, the
    share that does. So an empty map scores the mask's share of the image.

    maps: (..., N, H, W), or (H, W) for all images; masks: (N, H, W) bool. Returns (..., N).
    """
    top = maps == maps.max(axis=(-2, -1), keepdims=True)
    return (top & masks).sum(axis=(-2, -1)) / top.sum(axis=(-2, -1))


def best_pixel(masks: np.ndarray) -> np.ndarray:
    """The map of one pixel, the one that lies in the most of (N, H, W) true findings: (H, W), 1
    there and 0 elsewhere. No other map that is the same for all images hits as many of them."""
    often = masks.sum(axis=0)
    return (np.arange(often.size) == often.argmax()).reshape(often.shape).astype(np.float32)


def reinitialised(model: Classifier, seed: int) -> Classifier:
    """The same network with new random weights (model randomisation, Adebayo et al. 2018)."""
    torch.manual_seed(seed)
    other = copy.deepcopy(model)
    for module in other.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()  # type: ignore[operator]
    return other


def report(hits: np.ndarray, of_mean: np.ndarray, fixed: np.ndarray, random: np.ndarray) -> dict:
    """What the hits of a run's maps say, beside those of one pixel for all images.

    hits: (K, N) of each training's maps of the same images; of_mean: (N,) of the mean of their
    maps; fixed: (N,) of the pixel; random: (R,) shares of hits of networks with random weights.
    Returns the share of hits with its interval for other trainings and images, its difference from
    the pixel's (`comparison.paired_difference`), the share of the mean maps, and p of the two-sided
    Mann-Whitney test of the trainings' shares against the random networks'.
    """
    own, pixel = intervals.mean(hits), intervals.mean(np.broadcast_to(fixed, hits.shape))
    estimate = intervals.estimate(own)
    _, p = stats.mannwhitneyu(own.values, random)
    return {
        "value": estimate["value"],
        "ci95": estimate["ci95"],
        "difference": comparison.paired_difference(own, pixel),
        "mean_map": {"value": of_mean.mean()},
        "random": {"mean": random.mean(), "each": random.tolist(), "p": float(p)},
    }


def examples(labels: np.ndarray, probability: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Indices of n images drawn by seed: half of each class, and at least one error if there is
    one; healthy images first."""
    order = np.random.default_rng(seed).permutation(len(labels))
    wrong = (probability >= 0.5) != labels
    half = {0: n - n // 2, 1: n // 2}
    drawn = {c: list(order[labels[order] == c][: half[c]]) for c in half}
    errors = order[wrong[order]]
    if len(errors) and not wrong[drawn[0] + drawn[1]].any():
        drawn[int(labels[errors[0]])][-1] = errors[0]
    return np.array(drawn[0] + drawn[1])
