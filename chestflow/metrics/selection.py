"""Which of several configurations is best? Judged on the stress set (stress.py)."""

from typing import NamedTuple

import numpy as np

from chestflow.metrics import baselines, comparison, intervals
from chestflow.metrics.intervals import Measured

TESTED = ("auroc", "accuracy")  # on test images, in pairs: for the tables alone
LISTED = (*TESTED, "balanced_accuracy", "recall", "specificity")  # of each configuration
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
        "sd": estimate["sd"],
        "each": measured.values.tolist(),
    }


def choose(reference: str, measured: dict[str, Measured]) -> tuple[str, dict[str, dict]]:
    """The reference, unless a rival is significantly better; of several, the one with the highest
    AUROC. And the paired differences rival - reference, with p after Holm's correction.

    measured: the stress AUROC of the reference and its rivals, over the same seeds and images.
    A ranking always has a first, even where all are equally good; and the more configurations are
    tried, the better the first looks by chance. So it is the reference that has the benefit of the
    doubt (Gulrajani & Lopez-Paz 2021: no rival beat plain training that was chosen with care).
    """
    rivals = {name: one for name, one in measured.items() if name != reference}
    pairs = [(one, measured[reference]) for one in rivals.values()]
    tests = dict(zip(rivals, comparison.paired_differences(pairs)))
    better = [name for name, t in tests.items() if t["difference"] > 0 and t["p_holm"] < LEVEL]
    chosen = max(better, key=lambda name: tests[name]["difference"], default=reference)
    return chosen, tests


# ------------------------------------------------------------------------------ a sweep's tables


class Predicted(NamedTuple):
    """What K trainings of a configuration predicted."""

    stress: dict[str, np.ndarray]  # the arguments of `stress_auroc`
    labels: np.ndarray  # (N,) of the test images
    probability: np.ndarray  # (K, N)


def row(name: str, changes: dict, report: dict) -> dict:
    """A configuration as a row of the tables, from the record that stage `evaluate` wrote of it."""
    plain = ("data", "n", "trainings", "parameters", "train_seconds", "val_auroc", "stress")
    of_test = {k: {score: report[k][score] for score in LISTED} for k in ("ci95", "sd", "each")}
    values = {key: report[key] for key in (*plain, *LISTED)}
    return {"name": name, "changes": changes, **values, **of_test}


def summarise(
    once: list[dict], repeated: list[dict], predicted: dict[str, Predicted], reference: str
) -> dict:
    """The content of sweep.json: the rows of all configurations, trained once, those of the
    finalists, trained several times, the one that `choose` takes, and `rivals`, the finalists'
    paired differences from the reference: tested on the stress set; on test images with intervals
    alone.

    predicted: of each finalist.
    """
    stress = {name: stress_auroc(**one.stress) for name, one in predicted.items()}
    chosen, tests = choose(reference, stress)
    on_test = {
        name: baselines.auroc_and_accuracy(one.labels, one.probability)
        for name, one in predicted.items()
    }
    rivals = {
        name: {"stress": test}
        | {
            score: comparison.paired_difference(on_test[name][score], on_test[reference][score])
            for score in TESTED
        }
        for name, test in tests.items()
    }
    report = {"data": once[0]["data"], "n": once[0]["n"], "reference": reference, "chosen": chosen}
    return report | {"configurations": once, "finalists": repeated, "rivals": rivals}
