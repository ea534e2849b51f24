"""Scores of one network on labelled images from elsewhere, with intervals for other patients."""

from typing import Any

import numpy as np
from scipy import special, stats
from sklearn import metrics

from chestflow.metrics import calibration, intervals
from chestflow.metrics.intervals import Measured

RATES = ("accuracy", "recall", "specificity")


def report(
    labels: np.ndarray,
    raw: np.ndarray,
    calibrated: np.ndarray,
    threshold: float,
    groups: np.ndarray,
) -> dict[str, Any]:
    """Every score as value and ci95; either is NaN or None where it is not defined. Average
    precision and calibration error have no interval: none has been shown to cover.

    labels: (N,) of 0 and 1, a class may be missing; raw, calibrated: (N,) probabilities of disease;
    threshold: of the raw ones, chosen on validation; groups: (N,) clusters, from 0 to G - 1. The
    intervals hold for other clusters, judged by this one network.
    """
    both = 0 < labels.sum() < len(labels)
    precision = float(metrics.average_precision_score(labels, raw)) if both else np.nan
    error = calibration.calibration_error(labels, calibrated)
    return {
        "auroc": _with_interval(intervals.auroc(labels, raw[None]), groups),
        "auprc": {"value": precision, "ci95": None},
        **rates(labels, raw >= threshold, groups),
        "brier": _with_interval(intervals.mean((calibrated - labels)[None] ** 2), groups),
        "calibration_error": {"value": error, "ci95": None},
    }


def baselines(labels: np.ndarray) -> dict[str, float]:
    """What chance, the more frequent class, or the same probability for all would reach."""
    share = float(labels.mean())
    majority = max(share, 1 - share)
    return {"auroc": 0.5, "auprc": share, "accuracy": majority, "brier": share * (1 - share)}


def own_test(report: dict) -> dict[str, Any]:
    """What a run's metrics file says of its own test set, under the same names: means over its
    trainings."""
    interval, scaling = report["ci95"], report["scaling"]
    own = {name: {"value": report[name], "ci95": interval.get(name)} for name in ("auroc", "auprc")}
    for name in RATES:
        value, *ci95 = report["at_val_threshold"][name]
        own[name] = {"value": value, "ci95": ci95}
    for name in ("brier", "calibration_error"):
        own[name] = {"value": scaling[name]["scaled"], "ci95": None}
    return {"trainings": report["trainings"], "scores": own}


def confusion(labels: np.ndarray, predicted: np.ndarray) -> list[list[int]]:
    """Counts by actual (row) and predicted class (column), healthy first."""
    return metrics.confusion_matrix(labels, predicted, labels=(0, 1)).tolist()


def clusters(patients: list[str | None]) -> np.ndarray:
    """(N,) numbers of the patients, from 0; an image whose patient is not known is its own."""
    names = [f"patient {name}" if name else f"image {i}" for i, name in enumerate(patients)]
    return np.unique(names, return_inverse=True)[1]


# -------------------------------------------------------------------------------------- intervals


def _with_interval(measured: Measured, groups: np.ndarray, student: bool = True) -> dict[str, Any]:
    """Value and interval; None where the variance is not defined, or 0 because every image is at
    the bound. student: whether few clusters make it wider. Intervals of rates cover well without,
    and would cover too much with it (benchmarks/clusters.py)."""
    measured = measured.clustered(groups)
    if student:
        measured = Measured(measured.values, measured.influence * stretch(measured.influence))
    estimate = intervals.estimate(measured)
    low, high = estimate["ci95"]
    return {"value": estimate["value"], "ci95": [low, high] if low < high else None}


def stretch(influence: np.ndarray) -> float:
    """Student's quantile over the normal one, for a variance that is the sum of squared influences.

    Its degrees of freedom (Satterthwaite 1946) are twice its square over the variance of that sum,
    which is estimated from the squares' variance: few where few clusters carry most of it.
    influence: (1, G).
    """
    squares = influence[0] ** 2
    deviation = ((squares - squares.mean()) ** 2).sum()
    df = len(squares) - 1.0
    if deviation > 0:
        df = min(df, 2 * squares.sum() ** 2 / deviation)
    return float(
        special.stdtrit(df, 1 - intervals.LEVEL / 2) / special.ndtri(1 - intervals.LEVEL / 2)
    )


def rates(labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """Accuracy, recall and specificity of yes-or-no predictions, (N,)."""
    measured = intervals.decisions(labels, predicted[None])
    counted = {"accuracy": labels >= 0, "recall": labels == 1, "specificity": labels == 0}
    scored = {name: _with_interval(measured[name], groups, student=False) for name in RATES}
    for name, rate in scored.items():
        if rate["value"] in (0, 1):
            rate["ci95"] = at_bound(rate["value"], len(set(groups[counted[name]])))
    return scored


def at_bound(rate: float, n: int) -> list[float]:
    """The interval of Clopper & Pearson (1934) where all of n patients are on one side: images of
    the same patient add nothing to it."""
    interval = stats.binomtest(round(rate) * n, n).proportion_ci(1 - intervals.LEVEL)
    return [float(interval.low), float(interval.high)]
