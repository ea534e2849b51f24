"""Which of several trained configurations is best, and by more than the noise of training?"""

from typing import Any

import numpy as np
from scipy import stats


def best_first(scored: list[dict], min_delta: float) -> list[dict]:
    """Order by validation alone, by the rule that also chooses an epoch's weights: those within
    `min_delta` of the highest `val_auroc` count as equal and go by their `val_loss`; the others
    follow by `val_auroc`."""
    highest = max(entry["val_auroc"] for entry in scored)

    def rank(entry: dict) -> tuple[bool, float]:
        behind = entry["val_auroc"] < highest - min_delta
        return behind, -entry["val_auroc"] if behind else entry["val_loss"]

    return sorted(scored, key=rank)


def over_seeds(values: list[float]) -> dict[str, Any]:
    """Mean of a score over n >= 2 trainings that differ in nothing but their seed, and the mean's
    95 % interval after Student's t with n - 1 degrees of freedom: what training anew would show, on
    the same test images."""
    reach = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    mean = float(np.mean(values))
    return {"mean": mean, "ci95": [float(mean - reach), float(mean + reach)]}


def paired_by_seed(a: list[float], b: list[float]) -> dict[str, Any]:
    """The same for the difference a - b of two configurations trained on the same seeds."""
    found = over_seeds(np.subtract(a, b).tolist())
    return {"difference": found["mean"], "ci95": found["ci95"]}
