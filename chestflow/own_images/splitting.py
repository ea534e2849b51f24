"""Splits that never divide a patient, stratified by disease."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from chestflow.data.arrays import SPLITS
from chestflow.errors import UserError, few
from chestflow.own_images.listing import Item

SHARE = 0.1  # of the patients, in val and in test, where these are drawn


def assign(items: list[Item], diseased: Sequence[str]) -> list[Item]:
    """The items, each with its split: as given, or drawn, always in the same way; val is drawn from
    train where only train and test are given.

    Raises UserError for incomplete splits, and for a patient in two of them.
    """
    given = {item.split for item in items}
    drawn: dict[str, str] = {}
    if given == {""}:
        drawn = sample(items, diseased, ("val", "test"))
    elif given == {"train", "test"}:
        drawn = sample(members(items, "train"), diseased, ("val",))
    elif given != set(SPLITS):
        present = ", ".join(sorted(split or "none" for split in given))
        raise UserError(
            f"splits are given as {present}; accepted: train, test and, unless it is to be drawn,"
            " val, of every file"
        )
    assigned = [replace(item, split=drawn.get(item.name, item.split or "train")) for item in items]
    check_patients(assigned)
    return assigned


def members(items: list[Item], split: str) -> list[Item]:
    return [item for item in items if item.split == split]


def sample(items: list[Item], diseased: Sequence[str], splits: Sequence[str]) -> dict[str, str]:
    """The split of each item that is drawn, by name: for each of `splits`, SHARE of the patients
    whose images are healthy, diseased or both, at least one of three or more of a kind."""
    by_patient: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_patient[item.whose].append(item)
    strata: dict[frozenset[bool], list[list[Item]]] = defaultdict(list)
    for _, images in sorted(by_patient.items()):
        strata[frozenset(item.is_any(diseased) for item in images)].append(images)
    rng, split_of = np.random.default_rng(0), dict[str, str]()
    for patients in strata.values():
        order = rng.permutation(len(patients))
        n = max(len(patients) >= 3, round(SHARE * len(patients)))
        for i, split in enumerate(splits):
            for k in order[i * n : (i + 1) * n]:
                split_of |= {item.name: split for item in patients[k]}
    return split_of


def check_patients(items: list[Item]) -> None:
    """Raise UserError for a patient in more than one split."""
    splits_of: dict[str, set[str]] = defaultdict(set)
    for item in items:
        splits_of[item.whose].add(item.split)
    if divided := sorted(whose for whose, splits in splits_of.items() if len(splits) > 1):
        raise UserError(
            f"{len(divided)} patients are in more than one split ({few(divided)}); accepted: each"
            " in one. If every split counts its patients afresh, let --groups take the split's"
            " name as well"
        )
