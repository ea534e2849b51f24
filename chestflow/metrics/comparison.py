"""The paired test of two runs, its correction for several tests, and the similarity of two latent
spaces."""

from itertools import combinations

import numpy as np

from chestflow.metrics.intervals import LEVEL, Measured, sd_of, variance_of

Pair = tuple[Measured, Measured]


def paired_difference(a: Measured, b: Measured) -> dict:
    """a - b, paired by training and by image, both with the same K and N.

    Returns difference, ci95, the two-sided p of no difference (below .05 exactly where ci95 leaves
    out 0) and sd (over trainings, of the paired differences; None if K = 1).
    """
    if a.influence.shape != b.influence.shape:
        raise ValueError(f"{a.influence.shape} and {b.influence.shape} trainings and images differ")
    paired = a - b
    value, variance = float(paired.values.mean()), variance_of(paired)
    return {
        "difference": value,
        "ci95": interval(paired, LEVEL),
        "p": variance.p(value),
        "sd": sd_of(paired.values),
    }


def interval(paired: Measured, level: float) -> list[float]:
    """The interval of a paired difference that leaves out 0 exactly where its p is below `level`
    (from 0 to 1)."""
    value, half = float(paired.values.mean()), variance_of(paired).half_width(level)
    return [value - half, value + half]


def paired_differences(pairs: list[Pair]) -> list[dict]:
    """The paired differences of one family of tests: each as `paired_difference` has it, with p and
    interval after the correction of Holm (1979).

    Returns in addition p_holm, which is m times p, and ci95_holm, whose level is 1 - .05 / m: it
    leaves out 0 exactly where p_holm is below .05, so interval and test never contradict each other
    (Bonferroni's intervals for the smallest p, narrower ones for the others).
    """
    entries = [paired_difference(a, b) for a, b in pairs]
    for (a, b), entry, p in zip(pairs, entries, holm([entry["p"] for entry in entries])):
        m = p / entry["p"] if entry["p"] else len(pairs)
        entry |= {"p_holm": p, "ci95_holm": interval(a - b, LEVEL / m)}
    return entries


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


def cka_within(spaces: np.ndarray) -> float | None:
    """Mean linear CKA over all pairs of K trainings' latent spaces, (K, N, D): how similar two
    encoders are that differ in chance alone. None if K = 1."""
    each = [linear_cka(x, y) for x, y in combinations(spaces, 2)]
    return float(np.mean(each)) if each else None
