"""What needs no network: logistic regression, on the pixels or on any other vectors of images."""

import numpy as np
from scipy import special
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from chestflow.metrics import comparison, intervals
from chestflow.metrics.intervals import Measured

Known = tuple[np.ndarray, np.ndarray]  # vectors (N, D), labels (N,) of 0 and 1

# scikit-learn's C, from strong to weak. On real images, validation preferred .01 to .1 for pixels,
# .1 to 1 for latent vectors.
PENALTIES = (0.0001, 0.001, 0.01, 0.1, 1.0)
SIDE = 28  # pixels; larger images are averaged down to about this size


def pixels(images: np.ndarray) -> np.ndarray:
    """(N, H, H) uint8 images -> their grey values as vectors (N, D) from 0 to 1; means of square
    patches where images are at least twice as large as SIDE, and divisible into such patches."""
    n, side, _ = images.shape
    patch = max(1, side // SIDE)
    tiles = images.reshape(n, side // patch, patch, side // patch, patch)
    return tiles.mean(axis=(2, 4), dtype=np.float32).reshape(n, -1) / 255


def logistic(train: Known, val: Known) -> Pipeline:
    """Logistic regression on the standardised vectors, in which both classes weigh the same.

    Of PENALTIES, the one with the lowest loss on val, weighted alike, is taken.
    """
    weight = compute_sample_weight("balanced", val[1])
    common = {"class_weight": "balanced", "max_iter": 2000}
    classifiers = [
        make_pipeline(StandardScaler(), LogisticRegression(C=c, **common)).fit(*train)
        for c in PENALTIES
    ]

    def loss(fitted: Pipeline) -> float:
        return log_loss(val[1], probability(fitted, val[0]), sample_weight=weight, labels=[0, 1])

    return min(classifiers, key=loss)


def probability(fitted: Pipeline, vectors: np.ndarray) -> np.ndarray:
    """(N, D) -> (N,) of the positive class."""
    return special.expit(fitted.decision_function(vectors).astype(float))


def beside(labels: np.ndarray, network: np.ndarray, baseline: np.ndarray) -> dict:
    """A baseline's AUROC and accuracy with intervals, and the paired differences of a network's.

    labels: (N,); network, baseline: (K, N) probabilities by training.
    """
    own, other = (auroc_and_accuracy(labels, each) for each in (network, baseline))
    estimates = {name: intervals.estimate(one) for name, one in other.items()}
    return {
        **{name: one["value"] for name, one in estimates.items()},
        "ci95": {name: one["ci95"] for name, one in estimates.items()},
        "difference": {
            name: comparison.paired_difference(own[name], other[name]) for name in other
        },
    }


def auroc_and_accuracy(labels: np.ndarray, probability: np.ndarray) -> dict[str, Measured]:
    """Of (K, N) probabilities by training, the accuracy at a threshold of .5; labels: (N,)."""
    accuracy = intervals.decisions(labels, probability >= 0.5)["accuracy"]
    return {"auroc": intervals.auroc(labels, probability), "accuracy": accuracy}
