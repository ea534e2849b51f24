"""Scores of a run, trained several times, on one test set."""

from typing import Any

import numpy as np
from sklearn import metrics

from chestflow.metrics import calibration, intervals
from chestflow.metrics.calibration import Choice

# In the metrics file, for `dvc metrics show`; everything else is in scores.json.
HEADLINE = ("auroc", "accuracy", "balanced_accuracy", "precision", "recall", "f1")
FAR, ROBUST_SDS = 0.05, 5  # below the other trainings, see `far_below`


def report(
    labels: np.ndarray, probability: np.ndarray, choices: list[Choice], representative: int
) -> dict[str, Any]:
    """The record of a run: scores at a threshold of .5, as means over the trainings.

    labels: (N,) of 0 and 1, both present; probability: (K, N) of the positive class, by training;
    choices: of each training; representative: the training that figures of one network show.
    ci95: 95 % intervals for other trainings and images (`intervals`); sd: over trainings;
    sd_images: standard error of one training, from the limited number of images; each: by training;
    far_below: the trainings, counted from 0, whose AUROC lies far below that of the others.
    """
    measured = intervals.decisions(labels, probability >= 0.5)
    measured["auroc"] = intervals.auroc(labels, probability)
    estimates = {name: intervals.estimate(one) for name, one in measured.items()}
    each = {name: one.values.tolist() for name, one in measured.items()}
    # Average precision has no interval: no covariance of it has been shown to cover.
    each["auprc"] = [float(metrics.average_precision_score(labels, row)) for row in probability]
    means = estimates | {"auprc": intervals.mean_sd(each["auprc"])}
    thresholds = np.array([choice.threshold for choice in choices])
    at_threshold = {
        name: intervals.estimate(one)
        for name, one in intervals.decisions(labels, probability >= thresholds[:, None]).items()
    }
    return {
        "n": len(labels),
        "trainings": len(probability),
        "representative": representative,
        **{name: one["value"] for name, one in means.items()},
        "majority_accuracy": float(max(labels.mean(), 1 - labels.mean())),
        "sd": {name: one["sd"] for name, one in means.items()},
        "sd_images": {name: estimates[name]["sd_images"] for name in ("accuracy", "auroc")},
        "ci95": {name: one["ci95"] for name, one in estimates.items()},
        "each": each,
        "far_below": far_below(measured["auroc"].values),
        "at_val_threshold": {
            "threshold": choices[representative].threshold,
            **{name: [one["value"], *one["ci95"]] for name, one in at_threshold.items()},
        },
        "calibration": list(choices[representative].platt),
        "share": choices[representative].share,
        "scaling": calibration.before_and_after(labels, probability, choices),
    }


def far_below(values: np.ndarray) -> list[int]:
    """Indices of the trainings that lie far below the others: their score, of (K,) from 0 to 1, is
    more than FAR and more than ROBUST_SDS below the median of the others (an sd being 1.48 times
    their median absolute deviation). With fewer than three trainings there is no telling.

    How often it is right is simulated in benchmarks/failures.py. Of three normal values with an sd
    of .03, FAR alone names one in 26 %, ROBUST_SDS alone in 22 %, both together in 8 %.
    """
    far = []
    for k, value in enumerate(values) if len(values) > 2 else ():
        others = np.delete(values, k)
        middle = np.median(others)
        sd = 1.4826 * np.median(np.abs(others - middle))
        if middle - value > max(FAR, ROBUST_SDS * sd):
            far.append(k)
    return far


def curves(labels: np.ndarray, probability: np.ndarray) -> dict[str, list[dict]]:
    """The predictions and the points of every curve of one training, as rows of tables."""
    false, true, _ = metrics.roc_curve(labels, probability)
    precision, recall, _ = metrics.precision_recall_curve(
        labels, probability, drop_intermediate=True
    )
    return {
        "roc": [{"false_positive_rate": x, "true_positive_rate": y} for x, y in zip(false, true)],
        "precision_recall": [{"recall": x, "precision": y} for x, y in zip(recall, precision)],
        "reliability": calibration.reliability(labels, probability),
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
