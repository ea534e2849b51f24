"""Comparing classifiers on the same images, and latent spaces of the same images."""

import numpy as np

from chestflow.measures import resampling


def paired_difference(
    labels: np.ndarray, a: np.ndarray, b: np.ndarray, counts: np.ndarray
) -> dict[str, dict]:
    """AUROC and balanced accuracy of a minus those of b on the same images.

    labels: (N,); a, b: (N,) probabilities; counts: (B, N) from `resampling.counts`.
    Each difference comes with its paired bootstrap interval, ci95, and a two-sided p: twice the
    share of resamples on the other side of zero (Efron & Tibshirani 1993, ch. 15 and 16).
    """
    return {
        name: _difference(score(a, None) - score(b, None), score(a, counts) - score(b, counts))
        for name, score in {
            "auroc": lambda p, w: resampling.auroc(labels, p, w),
            "balanced_accuracy": lambda p, w: resampling.decisions(labels, p >= 0.5, w)[
                "balanced_accuracy"
            ],
        }.items()
    }


def _difference(observed: np.ndarray, resampled: np.ndarray) -> dict:
    beyond = min((resampled <= 0).sum(), (resampled >= 0).sum())
    p = min(1.0, 2 * (int(beyond) + 1) / (len(resampled) + 1))
    return {"difference": float(observed[0]), "ci95": resampling.interval(resampled), "p": p}


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
