"""The paired test of two runs, its correction for several tests, and the similarity of two latent
spaces."""

import numpy as np

from chestflow.metrics.intervals import LEVEL, Measured, interval, p_value


def paired_difference(a: Measured, b: Measured) -> dict:
    """a - b, paired by training and by image, both with the same K and N, and its ci95. There is no
    p: it would be one test more."""
    paired = a - b
    return {"difference": float(paired.values.mean()), "ci95": interval(paired)}


def paired_differences(pairs: list[tuple[Measured, Measured]]) -> list[dict]:
    """The paired differences of one family of tests, with p and interval after the correction of
    Holm (1979).

    Returns of each pair what `paired_difference` does, p_holm, which is m times p, and ci95_holm,
    whose level is 1 - .05 / m: it leaves out 0 exactly where p_holm is below .05, so interval and
    test never contradict each other (Bonferroni's intervals for the smallest p, narrower ones for
    the others).
    """
    p = [p_value(a - b) for a, b in pairs]
    entries = []
    for (a, b), own, corrected in zip(pairs, p, holm(p)):
        m = corrected / own if own else len(pairs)
        tested = {"p_holm": corrected, "ci95_holm": interval(a - b, LEVEL / m)}
        entries.append(paired_difference(a, b) | tested)
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
