"""Decision threshold and Platt scaling, which are chosen on the stress set (stress.py);
measures of calibration."""

from collections.abc import Callable
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
BINS = 10  # of equal width


@dataclass(frozen=True)
class Choice:
    """What was chosen on a training's stress set."""

    threshold: float  # of the probability
    platt: tuple[float, float]  # slope and intercept of Platt scaling, or IDENTITY
    share: float  # of disease, to which the calibrated probabilities refer


def choose(labels: np.ndarray, probability: np.ndarray, trained_share: float) -> Choice:
    """Choose threshold and Platt scaling (`fit_if_better`); the defaults are .5 and IDENTITY.

    labels: (N,) of the stress set, both classes present; probability: (D, N) of its D draws;
    trained_share: share of disease in the loss, to which probabilities refer unless Platt scaling
    is used; then they refer to that of the validation images.
    """
    threshold = fit_if_better(labels, probability, best_threshold, balanced_correctness, 0.5)
    platt = fit_if_better(labels, probability, fit_platt, log_likelihood, IDENTITY)
    if platt[0] <= 0:  # it would reverse the ranking
        platt = IDENTITY
    return Choice(threshold, platt, trained_share if platt == IDENTITY else float(labels.mean()))


def fit_if_better(
    labels: np.ndarray, probability: np.ndarray, fit: Callable, score: Callable, default: Any
) -> Any:
    """What `fit(labels, probability)` chooses on all images, if in cross-validation its `score` is
    higher than that of `default` by more than a standard error: a smaller gain justifies no
    departure from the simplest choice (one-standard-error rule, Breiman et al. 1984). The default,
    too, if a class has one image only.

    labels: (N,); probability: (D, N); score(labels, probability, choices): (D, N), for one choice
    or one of each image. All draws of an image are in one fold: else it would be known already.
    """
    draws = len(probability)
    folds = min(FOLDS, *np.bincount(labels, minlength=2))
    if folds < 2:
        return default
    choices = np.empty((len(labels), *np.shape(default)))
    for seen, left in StratifiedKFold(folds).split(labels, labels):
        choices[left] = fit(np.tile(labels[seen], draws), probability[:, seen].ravel())
    gains = score(labels, probability, choices.T) - score(labels, probability, default)
    gain = gains.mean(axis=0)
    better = gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain))
    return fit(np.tile(labels, draws), probability.ravel()) if better else default


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


def balanced_correctness(labels: np.ndarray, probability: np.ndarray, threshold) -> np.ndarray:
    """(D, N), whose mean is the balanced accuracy: of each prediction, whether it is right, both
    classes weighing the same."""
    weight = 0.5 / np.where(labels == 1, labels.mean(), 1 - labels.mean())
    return weight * ((probability >= threshold) == labels)


def fit_platt(labels: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of Platt scaling (Platt 1999). A weak penalty on the slope keeps it
    finite where the classes separate without an error.

    labels: (N,) of 0 and 1, both present; probability: (N,) of the positive class.
    """
    fitted = LogisticRegression(C=10.0).fit(logit(probability)[:, None], labels)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def log_likelihood(labels: np.ndarray, probability: np.ndarray, platt) -> np.ndarray:
    """(D, N), of each prediction after Platt scaling."""
    scaled = calibrated(probability, *platt)
    return np.log(np.where(labels == 1, scaled, 1 - scaled))


def calibrated(probability: np.ndarray, slope, intercept) -> np.ndarray:
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
        "calibration_error": {
            name: float(np.mean([calibration_error(labels, row) for row in p]))
            for name, p in versions.items()
        },
        "brier": {name: float(one.values.mean()) for name, one in brier.items()},
        "brier_difference": comparison.paired_difference(brier["scaled"], brier["as_trained"]),
    }


def reliability(labels: np.ndarray, probability: np.ndarray) -> list[dict]:
    """Mean prediction and observed share in each of BINS, the empty ones left out."""
    bin_of = _bin(probability)
    return [
        {
            "predicted": float(probability[bin_of == b].mean()),
            "observed": float(labels[bin_of == b].mean()),
            "n": int((bin_of == b).sum()),
        }
        for b in np.unique(bin_of)
    ]


def calibration_error(labels: np.ndarray, probability: np.ndarray) -> float:
    """Expected calibration error of the positive class (after Guo et al. 2017). No interval: noise
    raises it, and a bootstrap's resamples are noisier: it covered the truth in 0 to 82 % of
    simulations.
    """
    gap = np.bincount(_bin(probability), probability - labels)
    return float(np.abs(gap).sum() / len(labels))


def _bin(probability: np.ndarray) -> np.ndarray:
    return np.minimum((probability * BINS).astype(int), BINS - 1)
