"""How often the intervals of `metrics.intervals` hold the truth, and how often the paired test of
`metrics.comparison` finds a difference that is not there.

Scores come from a model whose truth is known: the score of image n in training k of run t is

    (y - 1/2)(separation of t + what k changes in it) + what k shifts + noise of n, tn, kn and tkn

with y 1 for the diseased, all parts normal, the noise's variance 1 in all. Runs a and b are equal
in truth, c is worse. The truth is the mean over trainings and images; AUROC's and accuracy's are
formulas.
"""

from itertools import product
from math import sqrt

import numpy as np
from scipy import optimize, special

from benchmarks import harness
from chestflow.metrics import comparison, intervals

HEALTHY, DISEASED = 234, 390  # PneumoniaMNIST's test images
LABELS = np.repeat([0, 1], [HEALTHY, DISEASED])
WORSE = {0.80: 0.75, 0.95: 0.93, 0.99: 0.98}  # AUROC of c for that of a and b
SDS = {  # of the true AUROC over trainings; at .99 more than .006 would reach 1
    0.80: (0.001, 0.005, 0.015),
    0.95: (0.001, 0.005, 0.015),
    0.99: (0.001, 0.003, 0.006),
}
INTERACTIONS = {  # are training effects each run's own; share of noise that is of run x image
    "none": (False, 0.0),
    "run x training": (True, 0.0),
    "run x training, run x image": (True, 0.1),
}
IMAGE = 0.7  # share of noise that all trainings of all runs have in common
SHIFT = 0.1  # sd of what a training shifts all scores by: it moves accuracy, not AUROC
READERS = (1, 3, 5, 10)
REPETITIONS, AT_ONCE = 2000, 50
FIGURES = {  # how often, and between what it should be
    "interval": (0.93, 0.97),
    "difference": (0.93, 0.97),
    "false_alarms": (0.0, 0.05),
}


def measure(quick: bool) -> dict:
    """Every cell, as rows: each figure is a share of the repetitions."""
    repetitions = 2 * AT_ONCE if quick else REPETITIONS
    levels = list(WORSE)[-1:] if quick else list(WORSE)
    cells = []
    for seed, (auroc, interaction) in enumerate(product(levels, INTERACTIONS)):
        for sd in SDS[auroc][: 1 if quick else None]:
            print(f"  AUROC {auroc}, sd {sd}, interaction: {interaction} ...", flush=True)
            setting = {"auroc": auroc, "sd_of_auroc": sd, "interaction": interaction}
            cells += [setting | row for row in cell(seed, auroc, sd, interaction, repetitions)]
    return {"images": len(LABELS), "repetitions": repetitions, "cells": cells}


def cell(seed: int, auroc: float, sd: float, interaction: str, repetitions: int) -> list[dict]:
    """A row for each measure and K; fewer trainings are the first of those that are simulated."""
    rng = np.random.default_rng([seed, round(1000 * sd)])
    sd = sd_of_separation(auroc, sd)
    separations = [separation(level, sd) for level in (auroc, auroc, WORSE[auroc])]
    accuracies = special.ndtr(np.array(separations) / 2 / np.sqrt(1 + sd**2 / 4 + SHIFT**2))
    truth = {"auroc": (auroc, auroc, WORSE[auroc]), "accuracy": tuple(accuracies)}
    seen: dict[tuple, list] = {key: [] for key in product(truth, READERS)}
    for _ in range(repetitions // AT_ONCE):
        scores = sample(rng, separations, sd, *INTERACTIONS[interaction])
        for name, measured in measures(scores).items():
            for runs, k in product(per_repetition(measured), READERS):
                first = [intervals.Measured(r.values[:k], r.influence[:k]) for r in runs]
                seen[name, k].append(verdicts(first, truth[name]))
    return [
        {"measure": name, "k": k} | dict(zip(FIGURES, np.mean(rows, axis=0).tolist(), strict=True))
        for (name, k), rows in seen.items()
    ]


def separation(auroc: float, sd: float) -> float:
    """Of the classes, for this AUROC on average over trainings."""
    return special.ndtri(auroc) * np.sqrt(2 + sd**2)


def sd_of_separation(auroc: float, sd_of_auroc: float) -> float:
    """For which the true AUROC has this sd over trainings."""
    normal = special.ndtri((np.arange(2000) + 0.5) / 2000)

    def excess(sd: float) -> float:
        areas = special.ndtr((separation(auroc, sd) + sd * normal) / np.sqrt(2))
        return areas.std() - sd_of_auroc

    return optimize.brentq(excess, 0, 5)


def sample(rng, separations: list, sd: float, own: bool, of_runs: float) -> np.ndarray:
    """(repetitions, runs, trainings, images) scores; above 0 is a diagnosis of pneumonia."""
    runs, trainings, images = len(separations), max(READERS), len(LABELS)
    rest = (1 - IMAGE - of_runs) / 2
    noise = ((IMAGE, 1, 1), (of_runs, runs, 1), (rest, 1, trainings), (rest, runs, trainings))
    normal = rng.standard_normal
    scores = sum(
        np.float32(np.sqrt(part)) * normal((AT_ONCE, *shape, images), dtype=np.float32)
        for part, *shape in noise
        if part
    )
    effects = normal((2, AT_ONCE, runs if own else 1, trainings, 1), dtype=np.float32)
    apart = np.reshape(separations, (-1, 1, 1)) + sd * effects[0]
    return scores + ((LABELS - 0.5) * apart + SHIFT * effects[1]).astype(np.float32)


def measures(scores: np.ndarray) -> dict[str, intervals.Measured]:
    """Of all repetitions, runs and trainings at once: here they are rows."""
    rows = scores.reshape(-1, len(LABELS))
    hits = ((rows > 0) == LABELS).astype(float)  # of accuracy the jackknife is exact
    return {"auroc": intervals.auroc(LABELS, rows), "accuracy": intervals.mean(hits)}


def per_repetition(measured: intervals.Measured) -> list[list[intervals.Measured]]:
    shape = (AT_ONCE, -1, max(READERS))
    values = measured.values.reshape(shape)
    influence = measured.influence.reshape(*values.shape, -1)
    return [[intervals.Measured(*run) for run in zip(*both)] for both in zip(values, influence)]


def verdicts(runs: list[intervals.Measured], truth: tuple) -> tuple:
    """FIGURES of one repetition."""
    a, b, c = runs
    return (
        holds(intervals.estimate(a)["ci95"], truth[0]),
        holds(comparison.paired_difference(a, c)["ci95"], truth[0] - truth[2]),
        not holds(comparison.paired_difference(a, b)["ci95"], 0),
    )


def holds(interval: list[float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


# ------------------------------------------------------------------------------------------ tables


def markdown(result: dict) -> list[str]:
    """A row per measure, AUROC and K: lowest and highest over sds and interactions."""
    cells, n = result["cells"], result["repetitions"]
    groups: dict[tuple, list[dict]] = {}
    for cell in cells:
        groups.setdefault((cell["measure"], cell["auroc"], cell["k"]), []).append(cell)
    head = ["measure", "true AUROC", "trainings", "interval", "difference", "false alarms"]
    return [
        f"{n:,} repetitions of each cell, {result['images']} images; in %, the lowest and the"
        " highest of the cells, which differ in how much trainings and runs vary. *Interval* and"
        " *difference*: how often the 95 % interval of a run, and that of its difference from a"
        " worse run, hold the truth. *False alarms*: how often the 5 % test finds a difference"
        " between equal runs. *Within limits*: 93 to 97 %, and at most 5 %, give or take twice the"
        f" Monte Carlo error (at 5 %: {200 * sqrt(0.05 * 0.95 / n):.1f}). With one training, the"
        " interval is about the images alone.",
        "",
        *harness.table(
            [*head, "within limits"], [row(key, groups[key], n) for key in sorted(groups)]
        ),
    ]


def row(key: tuple, cells: list[dict], repetitions: int) -> list[str]:
    measure, auroc, k = key
    missed = []
    for name in FIGURES:
        if n := sum(not within(name, cell[name], repetitions) for cell in cells):
            missed.append(f"{name.replace('_', ' ')} ({n} of {len(cells)})")
    return [
        {"auroc": "AUROC"}.get(measure, measure),
        f"{auroc:.2f}",
        str(k),
        *(percents([cell[name] for cell in cells]) for name in FIGURES),
        f"**no**: {', '.join(missed)}" if missed else "yes",
    ]


def within(figure: str, share: float, repetitions: int) -> bool:
    """Whether a share is as it should be, twice its Monte Carlo error allowed."""
    low, high = FIGURES[figure]
    below, above = (2 * sqrt(x * (1 - x) / repetitions) for x in (low, high))
    return low - below <= share <= high + above


def percents(shares: list[float]) -> str:
    return f"{100 * min(shares):.1f} to {100 * max(shares):.1f}"


if __name__ == "__main__":
    harness.command(measure, markdown)
