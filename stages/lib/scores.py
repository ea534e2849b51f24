"""Scores of one classifier on one test set, with 95 % bootstrap intervals."""

import numpy as np
from scipy import special
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

from stages.lib import resampling

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
    An interval is the 95 % percentile interval over resamples of the films.
    """
    counts = resampling.counts(len(labels), resamples, seed)
    values = decided(labels, probability >= 0.5) | ranked(labels, probability)
    ci95 = intervals(
        resampling.decisions(labels, probability >= 0.5, counts)
        | ranked_resamples(labels, probability, counts)
    )
    after = calibrated(probability, *calibration)
    after_ci95 = intervals(calibration_resamples(labels, after, counts))
    at_values = decided(labels, probability >= threshold)
    at_ci95 = intervals(resampling.decisions(labels, probability >= threshold, counts))
    return {
        "n": len(labels),
        **{name: values[name] for name in HEADLINE},
        "majority_accuracy": float(max(labels.mean(), 1 - labels.mean())),
        "ci95": {name: ci95[name] for name in HEADLINE},
        "further": {
            **{name: [v, *ci95[name]] for name, v in values.items() if name not in HEADLINE},
            **{
                f"calibrated_{name}": [float(v[0]), *after_ci95[name]]
                for name, v in calibration_resamples(labels, after).items()
            },
        },
        "at_val_threshold": {
            "threshold": threshold,
            **{name: [value, *at_ci95[name]] for name, value in at_values.items()},
        },
        "calibration": list(calibration),
    }


def decided(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Scores of yes-or-no predictions, (N,) bool."""
    return {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "precision": metrics.precision_score(labels, predicted, zero_division=0.0),
        "recall": metrics.recall_score(labels, predicted),
        "f1": metrics.f1_score(labels, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "specificity": metrics.recall_score(labels, predicted, pos_label=0),
        "mcc": metrics.matthews_corrcoef(labels, predicted),
    }


def ranked(labels: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Scores of the probabilities themselves."""
    return {
        "auroc": metrics.roc_auc_score(labels, probability),
        "auprc": metrics.average_precision_score(labels, probability),
        **{name: float(v[0]) for name, v in calibration_resamples(labels, probability).items()},
    }


def ranked_resamples(
    labels: np.ndarray, probability: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """The scores of `ranked` for each of (B, N) counts from `resampling.counts`: (B,) each."""
    return {
        "auroc": resampling.auroc(labels, probability, counts),
        "auprc": resampling.auprc(labels, probability, counts),
        **calibration_resamples(labels, probability, counts),
    }


def calibration_resamples(
    labels: np.ndarray, probability: np.ndarray, counts: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """How far the probabilities can be taken at their word, for each of (B, N) counts, or once for
    the films as they are: (B,) or (1,) each."""
    counts = np.ones((1, len(labels))) if counts is None else counts
    return {
        "brier": counts @ (probability - labels) ** 2 / counts.sum(axis=1),
        "calibration_error": calibration_error(labels, probability, counts),
    }


def intervals(resampled: dict[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: resampling.interval(values) for name, values in resampled.items()}


def best_threshold(labels: np.ndarray, probability: np.ndarray) -> float:
    """The threshold with the highest balanced accuracy (Youden's J), to be chosen on validation:
    half-way between two neighbouring scores, and of several equally good ones the nearest to .5."""
    false, true, cuts = metrics.roc_curve(labels, probability, drop_intermediate=False)
    steps = np.append(cuts[1:], 0.0)  # cuts[0] is infinite; below the last there is no film
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
