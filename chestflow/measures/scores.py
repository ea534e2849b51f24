"""Scores of one classifier on one test set, with 95 % bootstrap intervals."""

from collections.abc import Callable

import numpy as np
from scipy import special
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

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
AS_IT_IS = (1.0, 0.0)  # slope and intercept that leave a probability as it is
FOLDS = 5  # of the cross-validation that decides on Platt scaling


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
    slope and intercept whose effect stands under `scaling`.
    An interval is the 95 % percentile interval over resamples of the images.
    """
    counts = resampling.counts(len(labels), resamples, seed)
    values, ci95 = with_intervals(lambda w: measured(labels, probability, w), counts)
    decided = probability >= threshold
    at, at_ci95 = with_intervals(lambda w: resampling.decisions(labels, decided, w), counts)
    return {
        "n": len(labels),
        **{name: values[name] for name in HEADLINE},
        "majority_accuracy": float(max(labels.mean(), 1 - labels.mean())),
        "ci95": {name: ci95[name] for name in HEADLINE},
        "further": {name: [v, *ci95[name]] for name, v in values.items() if name not in HEADLINE},
        "at_val_threshold": {
            "threshold": threshold,
            **{name: [value, *at_ci95[name]] for name, value in at.items()},
        },
        "calibration": list(calibration),
        "scaling": scaling(labels, probability, calibrated(probability, *calibration), counts),
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
        "brier": weights @ (probability - labels) ** 2 / weights.sum(axis=1),
    }


def scaling(
    labels: np.ndarray, before: np.ndarray, after: np.ndarray, counts: np.ndarray
) -> dict[str, list[float]]:
    """Calibration errors and Brier scores before and after Platt scaling, and the paired difference
    of the Brier scores with its interval. Scaling leaves every ranking, so that all they differ in
    is the squared calibration error (Murphy 1973). Its interval covered the truth in 94 to 95 % of
    simulations, that of the difference of the calibration errors in 38 to 100 %.

    before, after: (N,) probabilities; counts: (B, N) from `resampling.counts`.
    """
    squared = [(probability - labels) ** 2 for probability in (before, after)]
    change = squared[1] - squared[0]
    interval = resampling.interval(counts @ change / len(labels))
    return {
        "calibration_error": [calibration_error(labels, p) for p in (before, after)],
        "brier": [float(errors.mean()) for errors in squared],
        "brier_difference": [float(change.mean()), *interval],
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


def choose_calibration(labels: np.ndarray, probability: np.ndarray) -> tuple[tuple, dict]:
    """Slope and intercept, and whether they are Platt's: 1 and 0, which change nothing, unless
    scaling lowers the log loss (`val_log_loss`: before, after) of folds it was not fitted on, and
    keeps the ranking.

    labels: (N,) of 0 and 1, both present; probability: (N,); both of the validation images.
    """
    folds = min(FOLDS, *np.bincount(labels, minlength=2))
    loss = [float(metrics.log_loss(labels, calibrated(probability, *AS_IT_IS)))]
    if folds < 2:
        return AS_IT_IS, {"used": False, "val_log_loss": [*loss, np.nan]}
    after = np.empty(len(labels))
    for seen, left in StratifiedKFold(folds).split(probability, labels):
        after[left] = calibrated(probability[left], *calibration(labels[seen], probability[seen]))
    loss.append(float(metrics.log_loss(labels, after)))
    fitted = calibration(labels, probability)
    used = loss[1] < loss[0] and fitted[0] > 0
    return fitted if used else AS_IT_IS, {"used": used, "val_log_loss": loss}


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


def calibration_error(labels: np.ndarray, probability: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error of the positive class (after Guo et al. 2017). No interval: noise
    raises it, and resamples are noisier; its bootstrap covered the truth in 0 to 82 % of
    simulations.
    """
    gap = np.bincount(_bin(probability, bins), probability - labels)
    return float(np.abs(gap).sum() / len(labels))


def _bin(probability: np.ndarray, bins: int) -> np.ndarray:
    return np.minimum((probability * bins).astype(int), bins - 1)
