"""Splits that never divide a patient, stratified by class as far as that allows."""

from collections import defaultdict

import numpy as np

from chestflow.errors import UserError
from chestflow.own_images.listing import Item

SPLITS = ("train", "val", "test")


def fractions(text: str) -> dict[str, float]:
    """`0.8,0.1,0.1` -> the share of each split."""
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) != 3 or not min(shares) > 0 or not abs(sum(shares) - 1) < 1e-6:
        raise UserError(
            f"split = {text}; accepted: three shares above 0, of train, val and test, that sum to"
            " 1, such as 0.8,0.1,0.1"
        )
    return dict(zip(SPLITS, shares))


def assign(items: list[Item], shares: dict[str, float], seed: int) -> dict[str, list[Item]]:
    """The items of each split, in their order: as given, or drawn; val is drawn from train where
    only train and test are given.

    Raises UserError for incomplete splits, and for a patient in two of them.
    """
    given = {item.split for item in items}
    split_of: dict[str, str] = {}
    if given == {""}:
        split_of = sample(items, shares, seed)
    elif not {"train", "test"} <= given <= set(SPLITS):
        present = ", ".join(sorted(split or "none" for split in given))
        raise UserError(
            f"splits are given as {present}; accepted: train, test and, unless it is to be drawn,"
            " val, of every file"
        )
    elif "val" not in given:
        train = [item for item in items if item.split == "train"]
        split_of = sample(train, {split: shares[split] for split in ("train", "val")}, seed)
    assigned: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for item in items:
        assigned[split_of.get(item.name, item.split)].append(item)
    check_patients(assigned)
    return assigned


def sample(items: list[Item], shares: dict[str, float], seed: int) -> dict[str, str]:
    """The split of each item, by name. First every split gets a patient of each class where there
    are enough, the rarest class and the smallest patients first. Then the others, the largest
    first, go where most is missing of their classes, and of images. Seed: the order of patients of
    one size."""
    classes = sorted({label for item in items for label in item.labels})
    by_patient: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_patient[f"patient {item.patient}" if item.patient else f"file {item.name}"].append(item)
    patients = [by_patient[name] for name in sorted(by_patient)]
    counts = np.array(
        [
            [*(sum(name in item.labels for item in files) for name in classes), len(files)]
            for files in patients
        ],
        float,
    )  # (patients, classes + 1)
    wanted = np.outer(list(shares.values()), counts.sum(0)) / sum(shares.values())
    shuffled = np.random.default_rng(seed).permutation(len(patients)).tolist()
    order = sorted(shuffled, key=lambda k: -len(patients[k]))
    placed: dict[int, int] = {}  # patient -> split
    held = np.zeros_like(wanted)

    def place(patient: int, split: int) -> None:
        placed[patient] = split
        held[split] += counts[patient]

    for column in np.argsort(counts[:, :-1].sum(0), kind="stable"):
        for split in range(len(shares)):
            having = (k for k in reversed(order) if counts[k, column] and k not in placed)
            if not held[split, column] and (first := next(having, None)) is not None:
                place(first, split)
    for patient in order:
        if patient not in placed:
            place(patient, int(((wanted - held) / wanted @ counts[patient]).argmax()))
    names = list(shares)
    return {item.name: names[split] for k, split in placed.items() for item in patients[k]}


def check_patients(assigned: dict[str, list[Item]]) -> None:
    splits_of: dict[str, set[str]] = defaultdict(set)
    for split, items in assigned.items():
        for item in items:
            splits_of[item.patient].add(split)
    splits_of.pop("", None)
    if divided := sorted(patient for patient, splits in splits_of.items() if len(splits) > 1):
        few = ", ".join(divided[:3]) + ", ..." * (len(divided) > 3)
        raise UserError(
            f"{len(divided)} patients are in more than one split ({few}); accepted: each in one. If"
            " every split counts its patients afresh, let --groups take the split's name as well"
        )
