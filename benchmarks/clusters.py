"""How often intervals of `measures.validation` hold the truth where patients have many images.

The score of an image is d (1 if diseased) + noise of its patient + noise of its own, both normal,
their variances `alike` and 1 - `alike`; its probability of disease is that of the model, so that it
is calibrated. The truth is that of 200,000 patients.
"""

from typing import NamedTuple

import numpy as np
from scipy import special
from sklearn import metrics

from benchmarks import harness
from chestflow.own_images import scores

THRESHOLD = 0.3  # as if chosen on validation
REPETITIONS, MANY = 1000, 200_000
BETWEEN = (0.93, 0.97)  # where a share of intervals should lie


class Cell(NamedTuple):
    patients: int
    images: int  # of a patient, at most
    alike: float  # share of the noise that a patient's images have in common
    share: float  # of disease
    mixed: bool  # whether a patient can have diseased and healthy images
    d: float


CELLS = (
    Cell(60, 1, 0.0, 0.4, False, 1.7),
    Cell(60, 5, 0.5, 0.4, False, 1.7),
    Cell(60, 5, 0.5, 0.4, True, 1.7),
    Cell(200, 5, 0.5, 0.3, False, 2.5),
    Cell(200, 5, 0.8, 0.1, False, 1.7),
    Cell(30, 3, 0.5, 0.5, False, 2.5),
    Cell(400, 3, 0.5, 0.6, True, 3.0),
)


def measure(quick: bool) -> dict:
    repetitions = 50 if quick else REPETITIONS
    rows = []
    for seed, cell in enumerate(CELLS[:2] if quick else CELLS):
        print(f"  {cell} ...", flush=True)
        expected = truth(cell)
        rng = np.random.default_rng(seed)
        held: dict[str, list[tuple[bool, bool]]] = {name: [] for name in expected}
        for _ in range(repetitions):
            labels, probability, patients = draw(cell, rng, cell.patients)
            if 0 < labels.sum() < len(labels):
                for name, pair in both(labels, probability, patients, expected).items():
                    held[name].append(pair)
        shares = {name: np.mean(pairs, axis=0).tolist() for name, pairs in held.items()}
        rows.append({**cell._asdict(), "truth": expected, "covered": shares})
    every = [pair for row in rows for pair in row["covered"].values()]
    lowest, highest = min(pair[0] for pair in every), max(pair[0] for pair in every)
    return {
        "repetitions": repetitions,
        "cells": rows,
        "goals": [
            harness.goal("lowest coverage, by patient", lowest, BETWEEN[0], at_least=True),
            harness.goal("highest coverage, by patient", highest, BETWEEN[1], at_least=False),
        ],
    }


def draw(cell: Cell, rng: np.random.Generator, patients: int) -> tuple[np.ndarray, ...]:
    """Labels, probabilities and patients of all images, (N,) each."""
    of = np.repeat(np.arange(patients), rng.integers(1, cell.images + 1, patients))
    own = (rng.random(patients) < cell.share)[of]
    labels = (rng.random(len(of)) < cell.share if cell.mixed else own).astype(int)
    common = np.sqrt(cell.alike) * rng.standard_normal(patients)[of]
    score = cell.d * labels + common + np.sqrt(1 - cell.alike) * rng.standard_normal(len(of))
    odds = special.logit(cell.share) + cell.d * score - cell.d**2 / 2
    return labels, special.expit(odds), of


def truth(cell: Cell) -> dict[str, float]:
    labels, probability, _ = draw(cell, np.random.default_rng(99), MANY)
    found = {
        "AUROC": float(metrics.roc_auc_score(labels, probability)),
        "Brier score": float(np.mean((probability - labels) ** 2)),
        "calibration-in-the-large": 0.0,
        "calibration slope": 1.0,
    }
    called = probability >= THRESHOLD
    found["accuracy"] = float(np.mean(called == labels))
    found["recall"] = float(called[labels == 1].mean())
    found["specificity"] = float(1 - called[labels == 0].mean())
    return found


def both(
    labels: np.ndarray, probability: np.ndarray, patients: np.ndarray, expected: dict[str, float]
) -> dict[str, tuple[bool, bool]]:
    """Whether the interval of each score holds the truth: with patients, and with every image as a
    patient of its own. An interval that is not given does not."""
    alone = np.arange(len(labels))
    told = [
        named(scores.report(labels, probability, probability, THRESHOLD, groups))
        for groups in (patients, alone)
    ]
    return {
        name: tuple(ci is not None and ci[0] <= value <= ci[1] for ci in (t[name] for t in told))
        for name, value in expected.items()
    }


def named(report: dict) -> dict[str, list | None]:
    found = {name: report["at_threshold"][name]["ci95"] for name in scores.RATES}
    return found | {
        "AUROC": report["auroc"]["ci95"],
        "Brier score": report["brier"]["ci95"],
        "calibration-in-the-large": report["calibration_in_the_large"]["ci95"],
        "calibration slope": report["calibration_slope"]["ci95"],
    }


def markdown(result: dict) -> list[str]:
    rows = []
    for row in result["cells"]:
        by, alone = zip(*row["covered"].values())
        one = row["images"] == 1
        rows.append(
            [
                str(row["patients"]),
                "1" if one else f"1 to {row['images']}",
                "no" if one else ("yes" if row["mixed"] else "no"),
                f"{row['alike']:g}",
                f"{100 * row['share']:.0f} %",
                f"{row['truth']['AUROC']:.3f}",
                f"{100 * min(by):.1f} to {100 * max(by):.1f} %",
                "" if one else f"{100 * min(alone):.1f} to {100 * max(alone):.1f} %",
            ]
        )
    head = ["patients", "images each", "of both classes", "alike", "disease", "AUROC"]
    head += ["covered", "as if every image were a patient"]
    return [
        f"Seven scores of `validate`, {result['repetitions']:,} repetitions: the lowest"
        " and the highest share of 95 % intervals that hold the truth.",
        "",
        *harness.table(head, rows),
    ]


if __name__ == "__main__":
    harness.command(measure, markdown)
