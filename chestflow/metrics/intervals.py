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


@np.errstate(invalid="ignore")  # of one image there is no variance: 0 / 0
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
        influence[:, own] = sign * (below - values[:, None]) / np.sqrt(n * (n - 1.0))
    return Measured(values, influence)


def decisions(labels: np.ndarray, predicted: np.ndarray) -> dict[str, Measured]:
    """Scores of yes-or-no predictions, (K, N) of 0 and 1, for labels (N,) of 0 and 1.

    The influence is the jackknife's: the covariance is (N - 1) / N times the sum of products of the
    leave-one-out scores' deviations. An image is one of four kinds, so there are only four of these
    scores per training. NaN where a score is not defined, with all images or without one.
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


@np.errstate(invalid="ignore")  # of one image there is no variance: 0 / 0
def mean(values: np.ndarray) -> Measured:
    """The mean of a value of each image, (K, N), such as its squared error."""
    centre, n = values.mean(axis=1), values.shape[1]
    return Measured(centre, (values - centre[:, None]) / np.sqrt(n * (n - 1.0)))


@np.errstate(invalid="ignore")  # 0 / 0: not defined
def _scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    tn, fp, fn, tp = counts.T
    recall, specificity = tp / (tp + fn), tn / (tn + fp)
    return {
        "accuracy": (tp + tn) / counts.sum(axis=1),
        "precision": tp / (tp + fp),
        "recall": recall,
        "specificity": specificity,
        "f1": 2 * tp / (2 * tp + fp + fn),
        "balanced_accuracy": (recall + specificity) / 2,
    }


# ----------------------------------------------------------------------- what it says about others


def estimate(measured: Measured, bounded: bool = True) -> dict:
    """The mean over trainings, with its interval for other trainings and other images of this kind.

    bounded: whether the score lies between 0 and 1. If so, the interval is symmetric in the log
    odds (delta method) and stays within: at a true AUROC of .99 it covered 94.2 to 97.5 % of the
    time, symmetric in the value itself 91.2 to 95.5 %. Where all trainings reach a bound it has no
    width. Returns value, ci95, sd (over trainings, None if K = 1) and sd_images (of one training,
    over images alone).
    """
    value, ci95 = float(measured.values.mean()), interval(measured)
    if bounded and 0 < value < 1:
        half = half_width(measured, LEVEL) / (value * (1 - value))
        ci95 = [float(special.expit(special.logit(value) + side * half)) for side in (-1, 1)]
    sd_images = np.sqrt((measured.influence**2).sum(axis=1).mean())
    return mean_sd(measured.values) | {"ci95": ci95, "sd_images": float(sd_images)}


def mean_sd(values: np.ndarray | list[float]) -> dict:
    """Mean of K trainings' scores, and their standard deviation (None if K = 1)."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"value": float(np.mean(values)), "sd": sd}


def interval(measured: Measured, level: float = LEVEL) -> list[float]:
    """Symmetric around the mean over trainings, and without 0 exactly where p is below `level`."""
    value, half = float(measured.values.mean()), half_width(measured, level)
    return [value - half, value + half]


def p_value(measured: Measured) -> float:
    """Two-sided, of a true mean of 0: the level at which the interval just reaches 0."""
    distance, widest = abs(float(measured.values.mean())), half_width(measured, exp(SMALLEST))
    if np.isnan(distance) or np.isnan(widest):
        return float("nan")
    if distance == 0 or widest <= distance:
        return float(distance == 0)

    def beyond(log_p: float) -> float:
        return half_width(measured, exp(log_p)) - distance

    return exp(optimize.brentq(beyond, SMALLEST, 0.0, xtol=1e-12))


def half_width(measured: Measured, p: float) -> float:
    """Of the interval around the mean that leaves out what has a two-sided p below this one.

    Standard errors, times the mean of the quantiles of t with K - 1 degrees of freedom and of the
    normal, weighted with the parts of the variance (Cochran & Cox 1957). In simulations at K = 3,
    two equal runs differed "significantly" in 2.6 to 5.3 % (benchmarks/coverage.py), with the
    degrees of freedom of Hillis (2007) in 4.3 to 8.6 %.
    """
    trainings, images = variance_parts(measured)
    se, normal = np.sqrt(trainings + images), -special.ndtri(p / 2)
    if not trainings > 0:
        return float(se * normal)
    student = -special.stdtrit(len(measured.values) - 1, p / 2)
    share = trainings / (trainings + images)
    return float(se * (share * student + (1 - share) * normal))


def variance_parts(measured: Measured) -> tuple[float, float]:
    """Of the variance of the mean over K trainings and N images: MS(R) / K, what varies from one
    training to the next, and the mean covariance between two trainings, what all of them owe to the
    same images, 0 where its estimate is negative (Hillis 2007). Of a paired difference of two runs
    these are 2 MS(T:R) / K and 2 max(Cov2 - Cov3, 0). With K = 1 all of it is over images.
    """
    k = len(measured.values)
    own = (measured.influence**2).sum()
    total = (measured.influence.sum(axis=0) ** 2).sum()
    if k == 1:
        return 0.0, float(total)
    shared = np.maximum((total - own) / (k * (k - 1)), 0.0)
    return float(measured.values.var(ddof=1) / k), float(shared)
