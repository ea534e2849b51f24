"""Scores of a run, trained several times, on one test set."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from chestflow.metrics import comparison, intervals
from chestflow.metrics.prevalence import shifted

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


@dataclass(frozen=True)
class Choice:
    """What was chosen on a training's validation images."""

    threshold: float  # of the probability, with the highest balanced accuracy
    calibration: tuple[float, float]  # slope and intercept of Platt scaling, or AS_IT_IS
    log_loss: tuple[float, float]  # in cross-validation, before and after Platt scaling
    share: float  # of disease, to which the calibrated probabilities refer

    @property
    def scales(self) -> bool:
        return self.calibration != AS_IT_IS


def choose(labels: np.ndarray, probability: np.ndarray, trained_share: float) -> Choice:
    """labels, probability: (N,) of the validation images, both classes present; trained_share: of
    disease in the loss, which Platt scaling replaces by that of validation."""
    calibration, log_loss = choose_calibration(labels, probability)
    share = trained_share if calibration == AS_IT_IS else float(labels.mean())
    return Choice(best_threshold(labels, probability), calibration, log_loss, share)


def report(
    labels: np.ndarray, probability: np.ndarray, choices: list[Choice], shown: int
) -> dict[str, Any]:
    """The metrics file of a run: scores at .5, their means over the trainings flat.

    labels: (N,) of 0 and 1, both present; probability: (K, N) of the positive class, by training;
    choices: of each training; shown: the training that figures of one network show.
    ci95: 95 % intervals for trainings and images both drawn anew (`readers`); sd: over trainings;
    sd_images: what the choice of N images alone explains; each: by training.
    """
    measured = intervals.decisions(labels, probability >= 0.5)
    measured |= {"auroc": intervals.auroc(labels, probability)}
    measured |= {"brier": intervals.mean((probability - labels) ** 2)}
    told = {name: intervals.estimate(found, bounds(name)) for name, found in measured.items()}
    each = {name: found.values.tolist() for name, found in measured.items()}
    # Average precision has no interval: no covariance of it has been shown to cover.
    each["auprc"] = [float(metrics.average_precision_score(labels, row)) for row in probability]
    told["auprc"] = intervals.mean_sd(each["auprc"])
    thresholds = np.array([one.threshold for one in choices])
    at = intervals.decisions(labels, probability >= thresholds[:, None])
    return {
        "n": len(labels),
        "trainings": len(probability),
        "shown": shown,
        **{name: told[name]["value"] for name in HEADLINE},
        "majority_accuracy": float(max(labels.mean(), 1 - labels.mean())),
        "sd": {name: told[name]["sd"] for name in HEADLINE},
        "sd_images": {name: told[name]["sd_images"] for name in ("accuracy", "auroc")},
        "ci95": {name: found["ci95"] for name, found in told.items() if "ci95" in found},
        "further": {name: told[name]["value"] for name in told if name not in HEADLINE},
        "each": each,
        "at_val_threshold": {
            "threshold": choices[shown].threshold,
            **{name: _with_interval(name, found) for name, found in at.items()},
        },
        "calibration": list(choices[shown].calibration),
        "share": choices[shown].share,
        "scaling": scaling(labels, probability, choices),
    }


def bounds(score: str) -> tuple[int, int]:
    return (-1, 1) if score == "mcc" else (0, 1)


def _with_interval(score: str, found: intervals.Measured) -> list[float]:
    estimate = intervals.estimate(found, bounds(score))
    return [estimate["value"], *estimate["ci95"]]


def scaling(labels: np.ndarray, probability: np.ndarray, choices: list[Choice]) -> dict[str, Any]:
    """Calibration side by side: of the probabilities as they are, after Platt scaling where
    validation favours it, and after that moved to the share of disease among the test images,
    which nobody knows beforehand. Scaling leaves every ranking, so that Brier scores differ by the
    squared calibration error alone (Murphy 1973).

    labels: (N,); probability: (K, N).
    """
    scaled = np.stack([calibrated(p, *one.calibration) for p, one in zip(probability, choices)])
    here = float(labels.mean())
    moved = np.stack([shifted(p, one.share, here) for p, one in zip(scaled, choices)])
    versions = {"as_trained": probability, "scaled": scaled, "at_test_share": moved}
    brier = {name: intervals.mean((p - labels) ** 2) for name, p in versions.items()}
    return {
        "used": sum(one.scales for one in choices),
        "val_log_loss": np.mean([one.log_loss for one in choices], axis=0).tolist(),
        "share": {"before": float(np.mean([one.share for one in choices])), "test": here},
        "calibration_error": {
            name: float(np.mean([calibration_error(labels, row) for row in p]))
            for name, p in versions.items()
        },
        "brier": {name: intervals.estimate(found)["value"] for name, found in brier.items()},
        "brier_difference": {
            name: comparison.paired_difference(brier[name], brier["as_trained"])
            for name in ("scaled", "at_test_share")
        },
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


def choose_calibration(
    labels: np.ndarray, probability: np.ndarray
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Slope and intercept: Platt's where scaling lowers the log loss of folds it was not fitted on
    and keeps the ranking, else 1 and 0, which change nothing; and that loss, before and after.

    labels: (N,) of 0 and 1, both present; probability: (N,); both of the validation images.
    """
    folds = min(FOLDS, *np.bincount(labels, minlength=2))
    before = float(metrics.log_loss(labels, calibrated(probability, *AS_IT_IS)))
    if folds < 2:
        return AS_IT_IS, (before, np.nan)
    held_out = np.empty(len(labels))
    for seen, left in StratifiedKFold(folds).split(probability, labels):
        platt = calibration(labels[seen], probability[seen])
        held_out[left] = calibrated(probability[left], *platt)
    after = float(metrics.log_loss(labels, held_out))
    fitted = calibration(labels, probability)
    used = after < before and fitted[0] > 0
    return fitted if used else AS_IT_IS, (before, after)


def calibrated(probability: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Probabilities after Platt scaling: sigmoid(slope * logit(p) + intercept)."""
    return special.expit(slope * logit(probability) + intercept)


def logit(probability: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), finite also where rounding has made p 0 or 1."""
    return special.logit(np.clip(probability, 1e-9, 1 - 1e-9))


def curves(labels: np.ndarray, probability: np.ndarray) -> dict[str, list[dict]]:
    """The predictions and the points of every curve of one training, as rows of tables."""
    false, true, _ = metrics.roc_curve(labels, probability)
    precision, recall, _ = metrics.precision_recall_curve(
        labels, probability, drop_intermediate=True
    )
    return {
        "roc": [{"false_positive_rate": x, "true_positive_rate": y} for x, y in zip(false, true)],
        "precision_recall": [{"recall": x, "precision": y} for x, y in zip(recall, precision)],
        "reliability": reliability(labels, probability),
        "predictions": [
            {"image": i, "actual": int(y), "predicted": int(p >= 0.5), "probability": float(p)}
            for i, (y, p) in enumerate(zip(labels, probability))
        ],
    }


def predictions(table: dict[str, list]) -> tuple[np.ndarray, np.ndarray]:
    """(N,) labels and (K, N) probabilities from the columns of predictions.csv."""
    trainings = len(set(table["training"]))
    labels = np.array(table["actual"], int).reshape(trainings, -1)[0]
    return labels, np.array(table["probability"]).reshape(trainings, -1)


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
    raises it, and a bootstrap's resamples are noisier: it covered the truth in 0 to 82 % of
    simulations.
    """
    gap = np.bincount(_bin(probability, bins), probability - labels)
    return float(np.abs(gap).sum() / len(labels))


def _bin(probability: np.ndarray, bins: int) -> np.ndarray:
    return np.minimum((probability * bins).astype(int), bins - 1)
