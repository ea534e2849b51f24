"""Decision threshold and Platt scaling, which are chosen on the stress set (stress.py);
measures of calibration."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from chestflow.metrics import comparison, intervals

IDENTITY = (1.0, 0.0)  # slope and intercept that leave a probability as it is
FOLDS = 5  # of the cross-validation that decides on threshold and Platt scaling


@dataclass(frozen=True)
class Choice:
    """What was chosen on a training's stress set."""

    threshold: float  # of the probability
    platt: tuple[float, float]  # slope and intercept of Platt scaling, or IDENTITY
    log_loss: tuple[float, float]  # in cross-validation, before and after Platt scaling
    share: float  # of disease, to which the calibrated probabilities refer


def choose(labels: np.ndarray, probability: np.ndarray, trained_share: float) -> Choice:
    """Choose threshold and Platt scaling, each only if it helps on images that it was not chosen on
    (`helps`); otherwise the threshold is .5 and the scaling IDENTITY.

    labels: (N,) of the stress set, both classes present; probability: (D, N) of its D draws;
    trained_share: share of disease in the loss, to which probabilities refer unless Platt scaling
    is used; then they refer to that of the validation images.
    """
    platt, log_loss = choose_platt(labels, probability)
    share = trained_share if platt == IDENTITY else float(labels.mean())
    return Choice(choose_threshold(labels, probability), platt, log_loss, share)


def choose_threshold(labels: np.ndarray, probability: np.ndarray) -> float:
    """`best_threshold` if it raises the balanced accuracy in cross-validation, else .5. As in
    `choose`."""
    held_out = cross_validated(labels, probability, best_threshold, np.greater_equal)
    if held_out is None:
        return 0.5
    right, before = held_out == labels, (probability >= 0.5) == labels
    # Both classes weigh the same, so that the mean is the gain in balanced accuracy.
    weight = 0.5 / np.where(labels == 1, labels.mean(), 1 - labels.mean())
    if not helps(weight * (right.mean(axis=0) - before.mean(axis=0))):
        return 0.5
    return best_threshold(np.tile(labels, len(probability)), probability.ravel())


def best_threshold(labels: np.ndarray, probability: np.ndarray) -> float:
    """The threshold with the highest balanced accuracy (Youden's J) for labels and probabilities,
    (N,) each: half-way between two neighbouring scores, and of several equally good ones the
    nearest to .5."""
    false, true, cuts = metrics.roc_curve(labels, probability, drop_intermediate=False)
    steps = np.append(cuts[1:], 0.0)  # cuts[0] is infinite; below the last there is no image
    gain = (true - false)[1:]
    between = (steps[:-1] + steps[1:]) / 2
    best = between[np.isclose(gain, gain.max())]
    return float(best[np.argmin(np.abs(best - 0.5))])


def choose_platt(
    labels: np.ndarray, probability: np.ndarray
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Slope and intercept: Platt's where scaling lowers the log loss in cross-validation and keeps
    the ranking, else IDENTITY; and that loss, before and after. As in `choose`."""
    before = log_loss(labels, calibrated(probability, *IDENTITY))
    held_out = cross_validated(labels, probability, fit_platt, lambda p, fit: calibrated(p, *fit))
    if held_out is None:
        return IDENTITY, (float(before.mean()), np.nan)
    after = log_loss(labels, held_out)
    platt = fit_platt(np.tile(labels, len(probability)), probability.ravel())
    used = helps((before - after).mean(axis=0)) and platt[0] > 0
    return platt if used else IDENTITY, (float(before.mean()), float(after.mean()))


def fit_platt(labels: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of Platt scaling (Platt 1999). A weak penalty on the slope keeps it
    finite where the classes separate without an error.

    labels: (N,) of 0 and 1, both present; probability: (N,) of the positive class.
    """
    fitted = LogisticRegression(C=10.0).fit(logit(probability)[:, None], labels)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def cross_validated(labels: np.ndarray, probability: np.ndarray, fit, apply) -> np.ndarray | None:
    """(D, N): `apply(probability, fit(labels, probability))` for the images of each fold, fitted on
    those of the others. All draws of an image are in one fold: else it would be known already.
    None if a class has one image only."""
    folds = min(FOLDS, *np.bincount(labels, minlength=2))
    if folds < 2:
        return None
    held_out = np.empty(probability.shape)
    for seen, left in StratifiedKFold(folds).split(labels, labels):
        known = np.tile(labels[seen], len(probability)), probability[:, seen].ravel()
        held_out[:, left] = apply(probability[:, left], fit(*known))
    return held_out


def helps(gain: np.ndarray) -> bool:
    """Whether a gain, (N,) by image, is on average larger than its standard error: a smaller one
    justifies no departure from the simplest choice (one-standard-error rule, Breiman et al. 1984).
    """
    return bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))


def log_loss(labels: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Of each prediction; labels (N,), probability (D, N) -> (D, N)."""
    return -np.log(np.where(labels == 1, probability, 1 - probability))


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
        "brier_difference": comparison.paired_difference(brier["scaled"], brier["as_trained"]),
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
