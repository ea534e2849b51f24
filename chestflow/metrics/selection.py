"""Which of several configurations is best? Judged on the stress set (stress.py)."""

import numpy as np

from chestflow.metrics import baselines, comparison, intervals
from chestflow.metrics.intervals import Measured

TESTED = ("auroc", "accuracy")  # on test images, in pairs: for the tables alone
ROW = (  # of the record that stage `evaluate` wrote, in a sweep's tables
    *("data", "n", "trainings", "parameters", "train_seconds", "val_auroc", "stress"),
    *("auroc", "accuracy", "balanced_accuracy", "recall", "specificity", "ci95", "each"),
)
LEVEL = 0.05  # of p after Holm's correction, below which a configuration replaces the reference


def stress_auroc(labels: np.ndarray, probability: np.ndarray) -> Measured:
    """The AUROC on the stress set, averaged over its draws: so are each training's value and each
    image's influence, since the draws of an image are no further images.

    labels: (K, N), the same in each row if all trainings share their validation images;
    probability: (K, D, N), of D draws.
    """
    each = [intervals.auroc(*one) for one in zip(labels, probability)]
    return Measured(
        np.array([one.values.mean() for one in each]),
        np.stack([one.influence.mean(axis=0) for one in each]),
    )


def score(labels: np.ndarray, probability: np.ndarray) -> dict:
    """`stress_auroc` for a metrics file: the mean with its interval, and each training's."""
    measured = stress_auroc(labels, probability)
    estimate = intervals.estimate(measured)
    counts = {"n": labels.shape[1], "draws": probability.shape[1]}
    return counts | {
        "auroc": estimate["value"],
        "ci95": estimate["ci95"],
        "each": measured.values.tolist(),
    }


def measured(
    stress: dict[str, np.ndarray], labels: np.ndarray, probability: np.ndarray
) -> dict[str, Measured]:
    """What a configuration is compared by: `stress`, its AUROC on the stress set, and the TESTED.

    stress: the arguments of `stress_auroc`; labels (N,), probability (K, N): of the test images.
    """
    return {"stress": stress_auroc(**stress)} | baselines.auroc_and_accuracy(labels, probability)


def choose(reference: str, finalists: dict[str, dict[str, Measured]]) -> dict:
    """`chosen`: the reference, unless a rival is significantly better on the stress set; of
    several, the one with the highest AUROC there. `rivals`: the paired differences rival -
    reference, on the stress set with p after Holm's correction, on test images with intervals.

    finalists: name -> `measured`, over the same seeds and images.
    A ranking always has a first, even where all are equally good; and the more configurations are
    tried, the better the first looks by chance. So it is the reference that has the benefit of the
    doubt (Gulrajani & Lopez-Paz 2021: no rival beat plain training that was chosen with care).
    """
    own = finalists[reference]
    others = {name: one for name, one in finalists.items() if name != reference}
    pairs = [(one["stress"], own["stress"]) for one in others.values()]
    tests = dict(zip(others, comparison.paired_differences(pairs)))
    better = [name for name, t in tests.items() if t["difference"] > 0 and t["p_holm"] < LEVEL]
    on_test = {
        name: {score: comparison.paired_difference(one[score], own[score]) for score in TESTED}
        for name, one in others.items()
    }
    return {
        "chosen": max(better, key=lambda name: tests[name]["difference"], default=reference),
        "rivals": {name: {"stress": tests[name]} | on_test[name] for name in others},
    }


# ------------------------------------------------------------------------------ a sweep's tables


def row(name: str, changes: dict, report: dict) -> dict:
    """A configuration as a row of the tables, from the record that stage `evaluate` wrote of it."""
    return {"name": name, "changes": changes, **{key: report[key] for key in ROW}}


def summarise(once: list[dict], repeated: list[dict], reference: str, finalists: dict) -> dict:
    """The content of sweep.json: the rows of all configurations, trained once, those of the
    finalists, trained several times, and what `choose` says of these."""
    report = {"data": once[0]["data"], "n": once[0]["n"], "reference": reference}
    report |= {"configurations": once, "finalists": repeated}
    return report | choose(reference, finalists)
