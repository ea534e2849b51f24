"""Decision threshold and Platt scaling, which are chosen on validation images, and measures of
calibration."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from chestflow.metrics import comparison, intervals

IDENTITY = (1.0, 0.0)  # slope and intercept that leave a probability as it is
FOLDS = 5  # of the cross-validation that decides on Platt scaling


@dataclass(frozen=True)
class Choice:
    """What was chosen on a training's validation images."""

    threshold: float  # of the probability, with the highest balanced accuracy
    platt: tuple[float, float]  # slope and intercept of Platt scaling, or IDENTITY
    log_loss: tuple[float, float]  # in cross-validation, before and after Platt scaling
    share: float  # of disease, to which the calibrated probabilities refer


def choose(labels: np.ndarray, probability: np.ndarray, trained_share: float) -> Choice:
    """Choose threshold and Platt scaling. labels, probability: (N,) of the validation images, both
    classes present; trained_share: share of disease in the loss, to which probabilities refer
    unless Platt scaling is used; then they refer to that of the validation images."""
    platt, log_loss = choose_platt(labels, probability)
    share = trained_share if platt == IDENTITY else float(labels.mean())
    return Choice(choose_threshold(labels, probability), platt, log_loss, share)


def choose_threshold(labels: np.ndarray, probability: np.ndarray) -> float:
    """The threshold with the highest balanced accuracy (Youden's J), to be chosen on validation:
    half-way between two neighbouring scores, and of several equally good ones the nearest to .5."""
    false, true, cuts = metrics.roc_curve(labels, probability, drop_intermediate=False)
    steps = np.append(cuts[1:], 0.0)  # cuts[0] is infinite; below the last there is no image
    gain = (true - false)[1:]
    between = (steps[:-1] + steps[1:]) / 2
    best = between[np.isclose(gain, gain.max())]
    return float(best[np.argmin(np.abs(best - 0.5))])


def fit_platt(labels: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of Platt scaling (Platt 1999), to be fitted on validation, where class
    weights have shifted the probabilities away from the true share. A weak penalty on the slope
    keeps it finite where the classes separate without an error.

    labels: (N,) of 0 and 1, both present; probability: (N,) of the positive class.
    """
    fitted = LogisticRegression(C=10.0).fit(logit(probability)[:, None], labels)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def choose_platt(
    labels: np.ndarray, probability: np.ndarray
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Slope and intercept: Platt's where scaling lowers the log loss of folds it was not fitted on
    and keeps the ranking, else 1 and 0, which change nothing; and that loss, before and after.

    labels: (N,) of 0 and 1, both present; probability: (N,); both of the validation images.
    """
    folds = min(FOLDS, *np.bincount(labels, minlength=2))
    before = float(metrics.log_loss(labels, calibrated(probability, *IDENTITY)))
    if folds < 2:
        return IDENTITY, (before, np.nan)
    held_out = np.empty(len(labels))
    for seen, left in StratifiedKFold(folds).split(probability, labels):
        platt = fit_platt(labels[seen], probability[seen])
        held_out[left] = calibrated(probability[left], *platt)
    after = float(metrics.log_loss(labels, held_out))
    platt = fit_platt(labels, probability)
    used = after < before and platt[0] > 0
    return platt if used else IDENTITY, (before, after)


def calibrated(probability: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Probabilities after Platt scaling: sigmoid(slope * logit(p) + intercept)."""
    return special.expit(slope * logit(probability) + intercept)


def logit(probability: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), finite also where rounding has made p 0 or 1."""
    return special.logit(np.clip(probability, 1e-9, 1 - 1e-9))


# ------------------------------------------------------------------------------- how well


def before_and_after(
    labels: np.ndarray, probability: np.ndarray, choices: list[Choice]
) -> dict[str, Any]:
    """Calibration of the probabilities as trained, and after Platt scaling where it was chosen.
    Scaling keeps the ranking, so Brier scores differ by the calibration term alone (Murphy 1973).

    labels: (N,); probability: (K, N).
    """
    scaled = np.stack([calibrated(p, *choice.platt) for p, choice in zip(probability, choices)])
    versions = {"as_trained": probability, "scaled": scaled}
    brier = {name: intervals.mean((p - labels) ** 2) for name, p in versions.items()}
    return {
        "used": sum(choice.platt != IDENTITY for choice in choices),
        "val_log_loss": np.mean([choice.log_loss for choice in choices], axis=0).tolist(),
        "calibration_error": {
            name: float(np.mean([calibration_error(labels, row) for row in p]))
            for name, p in versions.items()
        },
        "brier": {name: intervals.estimate(m)["value"] for name, m in brier.items()},
        "brier_difference": {
            "scaled": comparison.paired_difference(brier["scaled"], brier["as_trained"])
        },
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
    raises it, and a bootstrap's resamples are noisier: it covered the truth in 0 to 82 % of
    simulations.
    """
    gap = np.bincount(_bin(probability, bins), probability - labels)
    return float(np.abs(gap).sum() / len(labels))


def _bin(probability: np.ndarray, bins: int) -> np.ndarray:
    return np.minimum((probability * bins).astype(int), bins - 1)
