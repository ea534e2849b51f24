"""Intervals and differences that account for other trainings and for other images.

A run is trained K times, and every training scores the same N test images. In the terms of
Obuchowski & Rockette (1995), trainings are readers, runs are treatments and images are cases,
readers and cases both drawn at random. Training k of one run is paired with training k of another.
"""

from dataclasses import dataclass
from math import exp

import numpy as np
from scipy import optimize, special, stats

LEVEL = 0.05  # one minus the level of every interval
SMALLEST = -200.0  # log of p; smaller ones are reported as 0


@dataclass(frozen=True)
class Measured:
    """One score of K trainings of a run on the same N test images.

    values: (K,) the score of each training; influence: (K, N) of each image on it, such that
    the covariance of the trainings' scores over images is influence @ influence.T.
    """

    values: np.ndarray
    influence: np.ndarray

    def __sub__(self, other: "Measured") -> "Measured":
        """The paired differences, training by training and image by image."""
        return Measured(self.values - other.values, self.influence - other.influence)

    def clustered(self, groups: np.ndarray) -> "Measured":
        """The same for clusters of images, such as those of one patient, as the sampling unit.

        groups: (N,) from 0 to G - 1, at least two. The influence, (K, G), is the sum over a
        cluster's images: for the AUROC this is Obuchowski (1997), for the rest linearisation. It is
        larger by `stretch`, so that intervals are wide enough also for few clusters.
        """
        n = int(groups.max()) + 1
        summed = np.stack([np.bincount(groups, row, n) for row in self.influence])
        return Measured(self.values, stretch(summed) * np.sqrt(n / (n - 1)) * summed)


def stretch(influence: np.ndarray) -> float:
    """Student's quantile over the normal one, for a variance that is the sum of squared influences,
    (K, G). Its degrees of freedom, at most G - 1, are twice its square over the variance of that
    sum (Satterthwaite 1946): few where few clusters carry most of it. With G - 1 instead, the
    intervals of AUROCs covered 91 % at 30 patients (benchmarks/clusters.py)."""
    squares = (influence**2).sum(axis=0)
    df, deviation = len(squares) - 1.0, ((squares - squares.mean()) ** 2).sum()
    if deviation > 0:
        df = min(df, 2 * squares.sum() ** 2 / deviation)
    return float(special.stdtrit(df, LEVEL / 2) / special.ndtri(LEVEL / 2))


# --------------------------------------------------------------------------------- what is measured


def auroc(labels: np.ndarray, scores: np.ndarray) -> Measured:
    """Area under the ROC curve = P(score of a positive > of a negative), ties counting half.

    labels: (N,) of 0 and 1; scores: (K, N). The influence comes from the placement values: which
    share of the other class an image outranks (DeLong et al. 1988), here by ranks (Sun & Xu 2014).
    Values are NaN where a class is missing, the influence where a class has fewer than two images.
    """
    positive = labels == 1
    influence = np.full(scores.shape, np.nan)
    if positive.all() or not positive.any():
        return Measured(np.full(len(scores), np.nan), influence)
    ranks = stats.rankdata(scores, axis=1)
    for own, sign in ((~positive, -1), (positive, 1)):
        n = own.sum()
        below = (ranks[:, own] - stats.rankdata(scores[:, own], axis=1)) / (len(labels) - n)
        values = below.mean(axis=1)  # of the positives, who come last, it is the area
        with np.errstate(invalid="ignore"):  # of one image there is no variance: 0 / 0
            influence[:, own] = sign * (below - values[:, None]) / np.sqrt(n * (n - 1.0))
    return Measured(values, influence)


def decisions(labels: np.ndarray, predicted: np.ndarray) -> dict[str, Measured]:
    """Scores of yes-or-no predictions, (K, N) of 0 and 1, for labels (N,) of 0 and 1.

    The influence is the jackknife's: the covariance is (N - 1) / N times the sum of products of the
    leave-one-out scores' deviations. An image is one of four kinds, so that four leave-one-out
    scores per training are all there are. NaN where a score is not defined, and its influence where
    it is not defined without one of the images.
    """
    kind = 2 * (labels == 1) + (predicted == 1)  # (K, N): true negative, false positive, ...
    counts = np.stack([(kind == k).sum(axis=1) for k in range(4)], axis=1).astype(float)
    without = [_scores(np.maximum(counts - row, 0)) for row in np.eye(4)]
    n = len(labels)
    measured = {}
    for name, values in _scores(counts).items():
        left = np.take_along_axis(np.stack([s[name] for s in without], axis=1), kind, axis=1)
        deviation = left.mean(axis=1, keepdims=True) - left
        measured[name] = Measured(values, deviation * np.sqrt((n - 1) / n))
    return measured


def mean(values: np.ndarray) -> Measured:
    """The mean of a value of each image, (K, N), such as its squared error."""
    centre, n = values.mean(axis=1), values.shape[1]
    with np.errstate(invalid="ignore"):  # of one image there is no variance: 0 / 0
        return Measured(centre, (values - centre[:, None]) / np.sqrt(n * (n - 1.0)))


def _scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    tn, fp, fn, tp = counts.T
    recall, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    return {
        "accuracy": _ratio(tp + tn, counts.sum(axis=1)),
        "precision": _ratio(tp, tp + fp),
        "recall": recall,
        "specificity": specificity,
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "balanced_accuracy": (recall + specificity) / 2,
        "mcc": _ratio(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
    }


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full_like(a, np.nan), where=b > 0)


# ----------------------------------------------------------------------- what it says about others


def estimate(measured: Measured, bounds: tuple = (0, 1)) -> dict:
    """The mean over trainings, with its interval for other trainings and other images of this kind.

    bounds: least and greatest value of the measure, (None, None) if it has none. Strictly between
    them the interval is symmetric in the log odds of the value (delta method), so within them too:
    at a true AUROC of .99 it covered 94.2 to 97.5 % of the time for K = 3 to 10, symmetric in the
    value itself 91.2 to 95.5 %. Where every training reaches a bound it has no width.
    Returns value, ci95, sd (over trainings, None if K = 1) and sd_images (of one training, over
    images alone).
    """
    value, variance = float(measured.values.mean()), variance_of(measured)
    half = variance.half_width()
    over_images = (measured.influence**2).sum(axis=1).mean()
    return {
        "value": value,
        "ci95": _log_odds(value, half, *bounds) or [value - half, value + half],
        "sd": sd_of(measured.values),
        "sd_images": float(np.sqrt(over_images)),
    }


def sd_of(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None


def _log_odds(value: float, half: float, low, high) -> list[float] | None:
    if low is None or high is None or not low < value < high:
        return None
    share = (value - low) / (high - low)
    half /= (high - low) * share * (1 - share)
    odds = special.logit(share)
    return [float(low + (high - low) * special.expit(odds + side * half)) for side in (-1, 1)]


@dataclass(frozen=True)
class Variance:
    """Of a mean over K trainings and N images, in two parts.

    trainings: MS(R) / K, what varies from one training to the next; images: the mean covariance
    between two trainings, what all of them owe to the same images, 0 where its estimate is negative
    (Hillis 2007); df: K - 1. Of a paired difference of two runs these are 2 MS(T:R) / K and
    2 max(Cov2 - Cov3, 0). With K = 1 all of it is over images.
    """

    trainings: float
    images: float
    df: int

    @property
    def se(self) -> float:
        return float(np.sqrt(self.trainings + self.images))

    def critical(self, p: float) -> float:
        """How many standard errors from 0 have this two-sided p: the quantile of t with K - 1
        degrees of freedom and the normal one, weighted with the parts of the variance (Cochran &
        Cox 1957). In simulations at K = 3, two equal runs differed "significantly" in 2.6 to 5.3 %
        (benchmarks/coverage.py), with the degrees of freedom of Hillis (2007) in 4.3 to 8.6 %."""
        normal = -float(special.ndtri(p / 2))
        if not self.df or not self.trainings > 0:
            return normal
        student = -float(special.stdtrit(self.df, p / 2))
        share = self.trainings / (self.trainings + self.images)
        return share * student + (1 - share) * normal

    def half_width(self, level: float = LEVEL) -> float:
        return self.se * self.critical(level)

    def p(self, value: float) -> float:
        """The level at which the interval around `value` just reaches 0."""
        if np.isnan(value) or np.isnan(self.se):
            return float("nan")
        if value == 0 or self.se * self.critical(exp(SMALLEST)) <= abs(value):
            return float(value == 0)

        def beyond(log_p: float) -> float:
            return self.se * self.critical(exp(log_p)) - abs(value)

        return exp(optimize.brentq(beyond, SMALLEST, 0.0, xtol=1e-12))


def variance_of(measured: Measured) -> Variance:
    """The variance of the mean of (K,) scores: MS(R) / K and the mean covariance over images."""
    k = len(measured.values)
    own = (measured.influence**2).sum()
    total = (measured.influence.sum(axis=0) ** 2).sum()
    if k == 1:
        return Variance(0.0, float(total), 0)
    shared = np.maximum((total - own) / (k * (k - 1)), 0.0)
    return Variance(float(measured.values.var(ddof=1) / k), float(shared), k - 1)


def mean_sd(values: list[float]) -> dict:
    """Mean of K trainings' scores, and their standard deviation (None if K = 1): for scores without
    an interval."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"value": float(np.mean(values)), "sd": sd}
