"""Do maps show where the true finding is? The pointing game, beside one fixed pixel and networks
with random weights; and the choice of the images that the figure shows."""

import math

import numpy as np
from scipy import stats

from chestflow.metrics import comparison, intervals


def pointing_hits(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(N,) 1 if a map's maximum lies in the true mask, else 0 (Zhang et al. 2018); of tied maxima,
    the share that does. So an empty map scores the mask's share of the image.

    maps: (N, H, W), or (H, W) for all images; masks: (N, H, W) bool.
    """
    flat, inside = (a.reshape(*a.shape[:-2], math.prod(a.shape[-2:])) for a in (maps, masks))
    top = flat == flat.max(axis=-1, keepdims=True)
    return (top & inside).sum(axis=-1) / top.sum(axis=-1)


def report(hits: np.ndarray, of_mean: np.ndarray, fixed: np.ndarray, random: np.ndarray) -> dict:
    """What the hits of a run's maps say, beside those of one pixel for all images.

    hits: (K, N) of each training's maps of the same images; of_mean: (N,) of the mean of their
    maps; fixed: (N,) of the pixel; random: (R,) shares of hits of networks with random weights.
    Returns the mean, with its interval for other trainings and images, and its difference from the
    pixel's (`comparison.paired_difference`); the same of the mean maps, over images alone; and the
    Mann-Whitney test (two-sided) of the trainings' shares of hits against the random networks'.
    """
    share = hits.mean(axis=1)
    u, p = stats.mannwhitneyu(share, random)
    return {
        **_beside(hits, fixed),
        "each": share.tolist(),
        "mean_map": _beside(of_mean[None], fixed),
        "random": {"mean": random.mean(), "each": random.tolist(), "u": float(u), "p": float(p)},
    }


def _beside(hits: np.ndarray, fixed: np.ndarray) -> dict:
    own, pixel = intervals.mean(hits), intervals.mean(np.broadcast_to(fixed, hits.shape))
    estimate = intervals.estimate(own)
    return {
        "value": estimate["value"],
        "ci95": estimate["ci95"],
        "difference": comparison.paired_difference(own, pixel),
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
