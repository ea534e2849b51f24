"""The paired test of two runs, its correction for several tests, and the similarity of two latent
spaces."""

import numpy as np

from chestflow.metrics.intervals import Measured, sd_of, variance_of


def paired_difference(a: Measured, b: Measured) -> dict:
    """a - b, paired by training and by image, both with the same K and N.

    Returns difference, ci95, the two-sided p of no difference (below .05 exactly where ci95 leaves
    out 0) and sd (over trainings, of the paired differences; None if K = 1).
    """
    if a.influence.shape != b.influence.shape:
        raise ValueError(f"{a.influence.shape} and {b.influence.shape} trainings and images differ")
    paired = a - b
    value, variance = float(paired.values.mean()), variance_of(paired)
    half = variance.half_width()
    return {
        "difference": value,
        "ci95": [value - half, value + half],
        "p": variance.p(value),
        "sd": sd_of(paired.values),
    }


def holm(p: list[float]) -> list[float]:
    """p-values corrected for the number of tests by the step-down method of Holm (1979)."""
    order = np.argsort(p)
    steps = np.array(p)[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected.tolist()


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Similarity of two representations (N, D) and (N, E) of the same images: 1 if they are equal
    up to rotation and scale, 0 if they share nothing (Kornblith et al. 2019)."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / norms) if norms else float("nan")
