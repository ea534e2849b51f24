"""How often the intervals of `chestflow validate` hold the truth where patients have many images.

The score of an image is d (1 if diseased) + noise of its patient + noise of its own, both normal,
with variances `alike` and 1 - `alike`; its probability of disease is that of this model, so that it
is calibrated. The truth is that of 200,000 patients.
"""

from typing import NamedTuple

import numpy as np
from scipy import special
from sklearn import metrics

from benchmarks import harness
from chestflow.own_images import validate

THRESHOLD = 0.3  # as if chosen on validation
REPETITIONS, MANY = 1000, 200_000


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
            labels, probability, patients = sample(cell, rng, cell.patients)
            if 0 < labels.sum() < len(labels):
                for name, pair in holds(labels, probability, patients, expected).items():
                    held[name].append(pair)
        shares = {name: np.mean(pairs, axis=0).tolist() for name, pairs in held.items()}
        rows.append({**cell._asdict(), "truth": expected, "covered": shares})
    return {"repetitions": repetitions, "cells": rows}


def sample(cell: Cell, rng: np.random.Generator, patients: int) -> tuple[np.ndarray, ...]:
    """Labels, probabilities and patients of all images, (N,) each."""
    patient = np.repeat(np.arange(patients), rng.integers(1, cell.images + 1, patients))
    n = len(patient)
    own = (rng.random(patients) < cell.share)[patient]
    labels = (rng.random(n) < cell.share if cell.mixed else own).astype(int)
    common = np.sqrt(cell.alike) * rng.standard_normal(patients)[patient]
    score = cell.d * labels + common + np.sqrt(1 - cell.alike) * rng.standard_normal(n)
    log_odds = special.logit(cell.share) + cell.d * score - cell.d**2 / 2
    return labels, special.expit(log_odds), patient


def truth(cell: Cell) -> dict[str, float]:
    """The true value of each of the five scores."""
    labels, probability, _ = sample(cell, np.random.default_rng(99), MANY)
    called = probability >= THRESHOLD
    return {
        "AUROC": float(metrics.roc_auc_score(labels, probability)),
        "Brier score": float(np.mean((probability - labels) ** 2)),
        "accuracy": float(np.mean(called == labels)),
        "recall": float(called[labels == 1].mean()),
        "specificity": float(1 - called[labels == 0].mean()),
    }


def holds(
    labels: np.ndarray, probability: np.ndarray, patients: np.ndarray, truth: dict[str, float]
) -> dict[str, tuple[bool, bool]]:
    """Whether the interval of each score holds the truth: with patients, and with every image as a
    patient of its own. An interval that is not given does not."""
    by_patient, by_image = (
        intervals(validate.scored(labels, probability, groups, THRESHOLD))
        for groups in (patients, np.arange(len(labels)))
    )
    return {
        name: (within(by_patient[name], value), within(by_image[name], value))
        for name, value in truth.items()
    }


def within(ci95: list[float] | None, value: float) -> bool:
    return ci95 is not None and ci95[0] <= value <= ci95[1]


def intervals(record: dict) -> dict[str, list[float] | None]:
    ends = {"AUROC": record["ci95"].get("auroc"), "Brier score": record["ci95"].get("brier")}
    return ends | {name: record["at_val_threshold"][name][1:] for name in validate.RATES}


# ------------------------------------------------------------------------------------------ tables


def markdown(result: dict) -> list[str]:
    head = ["patients", "images each", "of both classes", "alike", "disease", "AUROC"]
    head += ["covered", "as if every image were a patient"]
    return [
        f"Five scores of `validate`, {result['repetitions']:,} repetitions: the lowest"
        " and the highest share of 95 % intervals that hold the truth.",
        "",
        *harness.table(head, [row(cell) for cell in result["cells"]]),
    ]


def row(cell: dict) -> list[str]:
    by_patient, by_image = zip(*cell["covered"].values(), strict=True)
    single = cell["images"] == 1
    return [
        str(cell["patients"]),
        "1" if single else f"1 to {cell['images']}",
        "yes" if cell["mixed"] and not single else "no",
        f"{cell['alike']:g}",
        f"{100 * cell['share']:.0f} %",
        f"{cell['truth']['AUROC']:.3f}",
        percents(by_patient),
        "" if single else percents(by_image),
    ]


def percents(shares: tuple[float, ...]) -> str:
    return f"{100 * min(shares):.1f} to {100 * max(shares):.1f} %"


if __name__ == "__main__":
    harness.command(measure, markdown)
