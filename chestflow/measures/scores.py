"""Scores of one classifier on one test set, with 95 % bootstrap intervals."""

from collections.abc import Callable

import numpy as np
from scipy import special
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

from chestflow.measures import resampling

# Flat, and so what `dvc metrics show` lists; lists it leaves out, which keeps its table readable.
HEADLINE = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "balanced_accuracy",
    "specificity",
    "auroc",
    "auprc",
)


def report(
    labels: np.ndarray,
    probability: np.ndarray,
    threshold: float,
    calibration: tuple[float, float],
    resamples: int,
    seed: int,
) -> dict:
    """The headline scores at .5 flat, their intervals under `ci95`, and, each as a list of value,
    low and high, the further scores and those at `threshold` under `at_val_threshold`.

    labels: (N,) of 0 and 1, both present; probability: (N,) of the positive class; calibration: the
    slope and intercept by which the further scores called `calibrated_` change it first.
    An interval is the 95 % percentile interval over resamples of the images.
    """
    counts = resampling.counts(len(labels), resamples, seed)
    values, ci95 = with_intervals(lambda w: measured(labels, probability, w), counts)
    after = calibrated(probability, *calibration)
    scaled, scaled_ci95 = with_intervals(lambda w: reliabilities(labels, after, w), counts)
    decided = probability >= threshold
    at, at_ci95 = with_intervals(lambda w: resampling.decisions(labels, decided, w), counts)
    return {
        "n": len(labels),
        **{name: values[name] for name in HEADLINE},
        "majority_accuracy": float(max(labels.mean(), 1 - labels.mean())),
        "ci95": {name: ci95[name] for name in HEADLINE},
        "further": {
            **{name: [v, *ci95[name]] for name, v in values.items() if name not in HEADLINE},
            **{f"calibrated_{name}": [v, *scaled_ci95[name]] for name, v in scaled.items()},
        },
        "at_val_threshold": {
            "threshold": threshold,
            **{name: [value, *at_ci95[name]] for name, value in at.items()},
        },
        "calibration": list(calibration),
    }


def with_intervals(
    measure: Callable[[np.ndarray], dict[str, np.ndarray]], counts: np.ndarray
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Each score on the images as they are, and its 95 % interval; measure: (B, N) weights -> the
    scores of each row, (B,)."""
    once = measure(np.ones((1, counts.shape[1])))
    resampled = measure(counts)
    return (
        {name: float(values[0]) for name, values in once.items()},
        {name: resampling.interval(values) for name, values in resampled.items()},
    )


def measured(
    labels: np.ndarray, probability: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Every score of a classifier, for each of (B, N) weights: (B,). A new score is added here, or,
    if it is one of yes-or-no decisions, to `resampling.decisions`."""
    return {
        **resampling.decisions(labels, probability >= 0.5, weights),
        "auroc": resampling.auroc(labels, probability, weights),
        "auprc": resampling.auprc(labels, probability, weights),
        **reliabilities(labels, probability, weights),
    }


def reliabilities(
    labels: np.ndarray, probability: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """How far the probabilities can be taken at their word, for each of (B, N) weights: (B,)."""
    return {
        "brier": weights @ (probability - labels) ** 2 / weights.sum(axis=1),
        "calibration_error": calibration_error(labels, probability, weights),
    }


def best_threshold(labels: np.ndarray, probability: np.ndarray) -> float:
    """The threshold with the highest balanced accuracy (Youden's J), to be chosen on validation:
    half-way between two neighbouring scores, and of several equally good ones the nearest to .5."""
    false, true, cuts = metrics.roc_curve(labels, probability, drop_intermediate=False)
    steps = np.append(cuts[1:], 0.0)  # cuts[0] is infinite; below the last there is no image
    gain = (true - false)[1:]
    between = (steps[:-1] + steps[1:]) / 2
    best = between[np.isclose(gain, gain.max())]
    return float(best[np.argmin(np.abs(best - 0.5))])


def calibration(labels: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of Platt scaling (Platt 1999), to be fitted on validation, where class
    weights have shifted the probabilities away from the true share. A weak penalty on the slope
    keeps it finite where the classes separate without an error.

    labels: (N,) of 0 and 1, both present; probability: (N,) of the positive class.
    """
    fitted = LogisticRegression(C=10.0).fit(logit(probability)[:, None], labels)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def calibrated(probability: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Probabilities after Platt scaling: sigmoid(slope * logit(p) + intercept)."""
    return special.expit(slope * logit(probability) + intercept)


def logit(probability: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), finite also where rounding has made p 0 or 1."""
    return special.logit(np.clip(probability, 1e-9, 1 - 1e-9))


def curves(labels: np.ndarray, probability: np.ndarray) -> dict[str, list[dict]]:
    """The predictions and the points of every curve, as rows of tables."""
    false, true, _ = metrics.roc_curve(labels, probability)
    precision, recall, _ = metrics.precision_recall_curve(labels, probability)
    return {
        "roc": [{"false_positive_rate": x, "true_positive_rate": y} for x, y in zip(false, true)],
        "precision_recall": [{"recall": x, "precision": y} for x, y in zip(recall, precision)],
        "reliability": reliability(labels, probability),
        "predictions": [
            {"image": i, "actual": int(y), "predicted": int(p >= 0.5), "probability": float(p)}
            for i, (y, p) in enumerate(zip(labels, probability))
        ],
    }


def reliability(labels: np.ndarray, probability: np.ndarray, bins: int = 10) -> list[dict]:
    """Mean prediction and observed share in bins of equal width, the empty ones left out."""
    bin_of = _bin(probability, bins)
    return [
        {
            "predicted": float(probability[bin_of == b].mean()),
            "observed": float(labels[bin_of == b].mean()),
            "n": int((bin_of == b).sum()),
        }
        for b in np.unique(bin_of)
    ]


def calibration_error(
    labels: np.ndarray,
    probability: np.ndarray,
    counts: np.ndarray | None = None,
    bins: int = 10,
) -> np.ndarray:
    """Expected calibration error of the positive class (after Guo et al. 2017) for each of (B, N)
    counts: (B,). Resamples are noisier than the sample, so a small error lies low in its interval.
    """
    counts = np.ones((1, len(labels))) if counts is None else counts
    member = _bin(probability, bins)[:, None] == np.arange(bins)
    gap = counts @ ((probability - labels)[:, None] * member)
    return np.abs(gap).sum(axis=1) / counts.sum(axis=1)


def _bin(probability: np.ndarray, bins: int) -> np.ndarray:
    return np.minimum((probability * bins).astype(int), bins - 1)
