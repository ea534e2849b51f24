"""Trainings that fail: how often do the intervals of `metrics.intervals` hold the truth if some do,
and how often does `metrics.scores.far_below` name the training that failed?

Scores come from the model of `benchmarks.coverage`, in which the AUROC of a training that fails is
lower by .10. The truth is the mean over trainings, failed ones included.
"""

from itertools import product

import numpy as np

from benchmarks import harness
from benchmarks.coverage import (
    AT_ONCE,
    LABELS,
    SDS,
    holds,
    percents,
    sample,
    sd_of_separation,
    separation,
)
from chestflow.metrics import intervals
from chestflow.metrics.scores import far_below

LOST = 0.10
TRAININGS = (3, 5, 10)
REPETITIONS = 1000
FIGURES = ("interval", "named", "wrongly_named")


def measure(quick: bool) -> dict:
    """Every cell, as rows: each figure is a share of the repetitions."""
    repetitions = 2 * AT_ONCE if quick else REPETITIONS
    settings = [(auroc, sd) for auroc, sds in SDS.items() for sd in sds]
    cells = []
    for (auroc, sd), k in product(settings[-1:] if quick else settings, TRAININGS):
        print(f"  AUROC {auroc}, sd {sd}, {k} trainings ...", flush=True)
        shares = cell(auroc, sd, k, repetitions)
        cells.append({"auroc": auroc, "sd_of_auroc": sd, "k": k} | shares)
    return {"images": len(LABELS), "repetitions": repetitions, "cells": cells}


def cell(auroc: float, sd: float, k: int, repetitions: int) -> dict:
    """FIGURES: `interval`, where each training fails with probability 1 / K; `named`, where the
    first one fails; `wrongly_named`, where none does."""
    rng = np.random.default_rng([round(1000 * auroc), round(1000 * sd), k])
    sd = sd_of_separation(auroc, sd)
    good, bad = (separation(level, sd) for level in (auroc, auroc - LOST))
    lost = ((LABELS - 0.5) * (bad - good)).astype(np.float32)
    first, none = np.arange(k)[:, None] == 0, np.zeros((k, 1), bool)
    seen = []
    for _ in range(repetitions // AT_ONCE):
        scores = sample(rng, [good], sd, True, 0.0)[:, 0, :k]
        some = rng.random((AT_ONCE, k, 1)) < 1 / k
        for each, failed in zip(scores, some):
            runs = [intervals.auroc(LABELS, each + lost * which) for which in (failed, first, none)]
            seen.append(noticed(*runs, auroc - LOST / k))
    return dict(zip(FIGURES, np.mean(seen, axis=0).tolist(), strict=True))


def noticed(
    some: intervals.Measured, first: intervals.Measured, none: intervals.Measured, truth: float
) -> tuple[bool, bool, bool]:
    """FIGURES of one repetition, in which some, the first and no trainings failed."""
    return (
        holds(intervals.estimate(some)["ci95"], truth),
        far_below(first.values) == [0],
        far_below(none.values) != [],
    )


def markdown(result: dict) -> list[str]:
    """A row per AUROC and K: lowest and highest over the sds of the trainings."""
    groups: dict[tuple, list[dict]] = {}
    for one in result["cells"]:
        groups.setdefault((one["auroc"], one["k"]), []).append(one)
    rows = [
        [f"{auroc:.2f}", str(k), *(percents([one[name] for one in cells]) for name in FIGURES)]
        for (auroc, k), cells in sorted(groups.items())
    ]
    return [
        f"{result['repetitions']:,} repetitions of each cell, {result['images']} images; in %, the"
        " lowest and the highest of the cells, which differ in how much trainings vary. A training"
        f" that fails has an AUROC that is lower by {LOST:.2f}. *Interval*: how often the 95 %"
        " interval of a run holds the truth if each training fails with probability 1 / K, one in K"
        " on average. *Named*: how often `far_below` names a single training that fails, and no"
        " other. *Wrongly named*: how often it names one where none fails.",
        "",
        *harness.table(["true AUROC", "trainings", "interval", "named", "wrongly named"], rows),
    ]


if __name__ == "__main__":
    harness.command(measure, markdown)
