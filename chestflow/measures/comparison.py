"""Many comparisons at once, and latent spaces of the same images."""

import numpy as np


def holm(p: list[float]) -> list[float]:
    """p-values corrected for their number by the step-down method of Holm (1979)."""
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
