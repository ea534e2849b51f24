"""How often intervals of `measures.readers` hold the truth, and its test sees what is not there.

Scores are drawn from a model whose truth is known: the score of image n in training k of run t is

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
SPREADS = {  # sd over trainings of the true AUROC; at .99 more than .006 would reach 1
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
ALTERNATIVES = ("interval_without_log_odds", "false_alarms_hillis")  # what `readers` does not do


def measure(quick: bool) -> dict:
    """Every cell, as rows: each figure is a share of the repetitions."""
    repetitions = 2 * AT_ONCE if quick else REPETITIONS
    levels = list(WORSE)[-1:] if quick else list(WORSE)
    cells = []
    for seed, (auroc, interaction) in enumerate(product(levels, INTERACTIONS)):
        for spread in SPREADS[auroc][: 1 if quick else None]:
            print(f"  AUROC {auroc}, sd {spread}, interaction: {interaction} ...", flush=True)
            at = {"auroc": auroc, "spread": spread, "interaction": interaction}
            cells += [
                at | figures for figures in cell(seed, auroc, spread, interaction, repetitions)
            ]
    return {
        "images": len(LABELS),
        "repetitions": repetitions,
        "cells": cells,
        "goals": [] if quick else goals(cells, repetitions),
    }


def cell(seed: int, auroc: float, spread: float, interaction: str, repetitions: int) -> list[dict]:
    """The figures of each measure and K; fewer trainings are the first of those that are drawn."""
    rng = np.random.default_rng([seed, round(1000 * spread)])
    sd = sd_of_separation(auroc, spread)
    separations = [separation(level, sd) for level in (auroc, auroc, WORSE[auroc])]
    accuracies = special.ndtr(np.array(separations) / 2 / np.sqrt(1 + sd**2 / 4 + SHIFT**2))
    truth = {"auroc": (auroc, auroc, WORSE[auroc]), "accuracy": tuple(accuracies)}
    seen: dict[tuple, list] = {key: [] for key in product(truth, READERS)}
    for _ in range(repetitions // AT_ONCE):
        scores = draw(rng, separations, sd, *INTERACTIONS[interaction])
        for name, measured in measures(scores).items():
            for runs, k in product(per_repetition(measured), READERS):
                first = [intervals.Measured(r.values[:k], r.influence[:k]) for r in runs]
                seen[name, k].append(verdicts(first, truth[name]))
    return [
        {"measure": name, "k": k}
        | dict(zip((*FIGURES, *ALTERNATIVES, "sd"), np.mean(found, axis=0).tolist()))
        for (name, k), found in seen.items()
    ]


def separation(auroc: float, sd: float) -> float:
    """Of the classes, for this AUROC on average over trainings."""
    return special.ndtri(auroc) * np.sqrt(2 + sd**2)


def sd_of_separation(auroc: float, spread: float) -> float:
    """For which the true AUROC has the wanted sd over trainings."""
    normal = special.ndtri((np.arange(2000) + 0.5) / 2000)

    def beyond(sd: float) -> float:
        return special.ndtr((separation(auroc, sd) + sd * normal) / np.sqrt(2)).std() - spread

    return optimize.brentq(beyond, 0, 5)


def draw(rng, separations: list, sd: float, own: bool, of_runs: float) -> np.ndarray:
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
    """Of all repetitions, runs and trainings at once: to `readers` they are rows."""
    rows = scores.reshape(-1, len(LABELS))
    hits = ((rows > 0) == LABELS).astype(float)  # of accuracy the jackknife is exact
    return {"auroc": intervals.auroc(LABELS, rows), "accuracy": intervals.mean(hits)}


def per_repetition(measured: intervals.Measured) -> list[list[intervals.Measured]]:
    shape = (AT_ONCE, -1, max(READERS))
    values = measured.values.reshape(shape)
    influence = measured.influence.reshape(*values.shape, -1)
    return [[intervals.Measured(*run) for run in zip(*both)] for both in zip(values, influence)]


def verdicts(runs: list[intervals.Measured], truth: tuple) -> tuple:
    """Of one repetition, FIGURES and ALTERNATIVES, and the sd over trainings that a user sees."""
    a, b, c = runs
    alone, null = intervals.estimate(a), comparison.paired_difference(a, b)
    return (
        holds(alone["ci95"], truth[0]),
        holds(comparison.paired_difference(a, c)["ci95"], truth[0] - truth[2]),
        null["p"] < 0.05,
        holds(intervals.estimate(a, (None, None))["ci95"], truth[0]),
        abs(null["difference"]) > reach_by_hillis(a - b),
        alone["sd"] or 0.0,
    )


def reach_by_hillis(paired: intervals.Measured) -> float:
    """Half the width of the interval by the published degrees of freedom."""
    variance = intervals.variance_of(paired)
    known = not variance.trainings
    quantile = special.ndtri(0.975) if known else special.stdtrit(variance.hillis, 0.975)
    return variance.se * quantile


def holds(interval: list[float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


# ------------------------------------------------------------------------------------- the tables


def limits(figure: str, repetitions: int) -> tuple[float, float]:
    """Between what a share should be, twice its Monte Carlo error allowed."""
    low, high = FIGURES[figure]
    errors = [2 * sqrt(x * (1 - x) / repetitions) for x in (low, high)]  # not NumPy's: for JSON
    return low - errors[0], high + errors[1]


def within(figure: str, value: float, repetitions: int) -> bool:
    low, high = limits(figure, repetitions)
    return low <= value <= high


def goals(cells: list[dict], repetitions: int) -> list[dict]:
    """Of the cells with several trainings."""
    several = [entry for entry in cells if entry["k"] > 1]
    covered = [entry[name] for entry in several for name in ("interval", "difference")]
    low, high = (round(limit, 3) for limit in limits("interval", repetitions))
    most = round(limits("false_alarms", repetitions)[1], 3)
    alarms = max(entry["false_alarms"] for entry in several)
    return [
        harness.goal("coverage of 95 % intervals, lowest cell", min(covered), low, at_least=True),
        harness.goal("coverage of 95 % intervals, highest", max(covered), high, at_least=False),
        harness.goal("false alarms of the 5 % test, most", alarms, most, at_least=False),
    ]


def markdown(result: dict) -> list[str]:
    """A row per measure, AUROC, K and interaction: lowest and highest over the spreads."""
    cells, n = result["cells"], result["repetitions"]
    groups: dict[tuple, list[dict]] = {}
    for entry in cells:
        key = (entry["measure"], entry["auroc"], entry["k"], entry["interaction"])
        groups.setdefault(key, []).append(entry)
    spreads = "; ".join(f"at {a:.2f} {', '.join(map(str, sds))}" for a, sds in SPREADS.items())
    head = ["measure", "AUROC", "K", "interaction", "interval", "its difference", "false alarms"]
    others = ["without log odds", "Hillis' false alarms"]
    return [
        f"{n:,} repetitions per cell, {result['images']} images; figures in %, lowest to highest"
        f" over the true AUROC's sd over trainings ({spreads}). Intervals of a run, and of its"
        " difference from a worse one, that hold the truth; false alarms of the 5 % test between"
        " two runs that are equal. Within goal: 93 to 97 % and at most 5 %, twice the Monte Carlo"
        f" error (at 5 %: {200 * np.sqrt(0.05 * 0.95 / n):.1f}) allowed. Beside them what `readers`"
        " does not do: intervals without log odds, and the test with Hillis' degrees of freedom."
        " K = 1 shows what images alone leave out.",
        "",
        *harness.table(
            [*head, "within goal", *others], [row(key, groups[key], n) for key in sorted(groups)]
        ),
    ]


def row(key: tuple, entries: list[dict], repetitions: int) -> list[str]:
    measured, auroc, k, interaction = key
    missed = [
        f"{name.replace('_', ' ')} ({sum(outside)} of {len(outside)})"
        for name in FIGURES
        if any(outside := [not within(name, entry[name], repetitions) for entry in entries])
    ]
    return [
        {"auroc": "AUROC"}.get(measured, measured),
        f"{auroc:.2f}",
        str(k),
        interaction,
        *(shares(entries, name) for name in FIGURES),
        f"**no**: {', '.join(missed)}" if missed else "yes",
        *(shares(entries, name) for name in ALTERNATIVES),
    ]


def shares(entries: list[dict], name: str) -> str:
    percent = [100 * entry[name] for entry in entries]
    return f"{min(percent):.1f} to {max(percent):.1f}"


if __name__ == "__main__":
    harness.command(measure, markdown)
