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
    in_range = len(shares) == 3 and all(0 < share < 1 for share in shares)
    if not in_range or abs(sum(shares) - 1) > 1e-6:
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
    chosen = [item.split for item in items]
    given = set(chosen) - {""}
    if given and ("" in chosen or not {"train", "test"} <= given):
        rest = ", and of some files not at all" if "" in chosen else ""
        raise UserError(
            f"splits are given as {', '.join(sorted(given))}{rest}; accepted: train, test and,"
            " unless it is to be drawn, val, of every file"
        )
    to_draw = SPLITS if not given else ("train", "val") if "val" not in given else ()
    pool = [i for i, split in enumerate(chosen) if split in ("", "train")]
    if to_draw:
        wanted = {split: shares[split] for split in to_draw}
        for i, split in zip(pool, draw([items[i] for i in pool], wanted, seed)):
            chosen[i] = split
    assigned: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for item, split in zip(items, chosen):
        assigned[split].append(item)
    check_patients(assigned)
    return assigned


def draw(items: list[Item], shares: dict[str, float], seed: int) -> list[str]:
    """The split of each item. First every split gets a patient of each class where there are
    enough, the rarest class and the smallest patients first. Then the others, the largest first,
    go where most is missing of their classes, and of images. Seed: the order of patients of one
    size."""
    classes = sorted({label for item in items for label in item.labels})
    patients: dict[str, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        patients[f"patient {item.patient}" if item.patient else f"file {item.name}"].append(i)
    members = [patients[name] for name in sorted(patients)]
    each = np.array([[*(name in item.labels for name in classes), True] for item in items], float)
    counts = np.array([each[rows].sum(0) for rows in members])  # (patients, classes + 1)
    wanted = np.outer(list(shares.values()), counts.sum(0)) / sum(shares.values())
    shuffled = np.random.default_rng(seed).permutation(len(members)).tolist()
    order = sorted(shuffled, key=lambda k: -len(members[k]))
    split_of: dict[int, int] = {}
    held = np.zeros_like(wanted)

    def place(patient: int, split: int) -> None:
        split_of[patient] = split
        held[split] += counts[patient]

    for column in np.argsort(counts[:, :-1].sum(0), kind="stable"):
        for split in range(len(shares)):
            having = (k for k in reversed(order) if counts[k, column] and k not in split_of)
            if not held[split, column] and (first := next(having, None)) is not None:
                place(first, split)
    for patient in order:
        if patient not in split_of:
            place(patient, int(((wanted - held) / wanted @ counts[patient]).argmax()))
    drawn = {i: split for k, split in split_of.items() for i in members[k]}
    names = list(shares)
    return [names[drawn[i]] for i in range(len(items))]


def check_patients(assigned: dict[str, list[Item]]) -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for split, items in assigned.items():
        for item in items:
            places[item.patient].add(split)
    places.pop("", None)
    if divided := sorted(patient for patient, splits in places.items() if len(splits) > 1):
        few = ", ".join(divided[:3]) + ", ..." * (len(divided) > 3)
        raise UserError(
            f"{len(divided)} patients are in more than one split ({few}); accepted: each in one. If"
            " every split counts its patients afresh, let --groups take the split's name as well"
        )
