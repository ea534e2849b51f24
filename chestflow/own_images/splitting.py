"""Splits that never divide a patient, stratified by class as far as that allows."""

from collections import defaultdict

import numpy as np

from chestflow.errors import UserError
from chestflow.own_images.listing import Item
from chestflow.own_images.radiograph import shown

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
            f"split = {shown(text)}; accepted: three shares above 0, of train, val and test, that"
            " sum to 1, such as 0.8,0.1,0.1"
        )
    return dict(zip(SPLITS, shares))


def assign(items: list[Item], shares: dict[str, float], seed: int) -> dict[str, list[Item]]:
    """The items of each split, in their order: as given, or drawn.

    Raises UserError where a patient is in two of the splits given.
    """
    chosen = [item.split for item in items]
    to_draw = SPLITS if not any(chosen) else ("train", "val") if "val" not in chosen else ()
    pool = [i for i, split in enumerate(chosen) if split in ("", "train")]
    if to_draw:
        wanted = {split: shares[split] for split in to_draw}
        for i, split in zip(pool, draw([items[i] for i in pool], wanted, seed)):
            chosen[i] = split
    found: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for item, split in zip(items, chosen):
        found[split].append(item)
    check_patients(found)
    return found


def draw(items: list[Item], shares: dict[str, float], seed: int) -> list[str]:
    """The split of each item. The largest patients come first, those of one size in an order drawn
    by seed; each goes where most is missing of its classes, and of images."""
    classes = sorted({label for item in items for label in item.labels})
    patients: dict[str, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        patients[f"patient {item.patient}" if item.patient else f"file {item.name}"].append(i)
    each = np.array([[*(name in item.labels for name in classes), True] for item in items], float)
    members = [np.array(patients[name]) for name in sorted(patients)]
    order = np.random.default_rng(seed).permutation(len(members))
    wanted = np.outer(list(shares.values()), each.sum(0)) / sum(shares.values())
    missing, drawn = wanted.copy(), np.zeros(len(items), int)
    for patient in sorted(order, key=lambda k: -len(members[k])):
        counts = each[members[patient]].sum(0)
        split = int((missing / wanted @ counts).argmax())
        missing[split] -= counts
        drawn[members[patient]] = split
    names = list(shares)
    return [names[split] for split in drawn]


def check_patients(found: dict[str, list[Item]]) -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for split, items in found.items():
        for item in items:
            places[item.patient].add(split)
    places.pop("", None)
    if divided := sorted(patient for patient, splits in places.items() if len(splits) > 1):
        few = shown(", ".join(divided[:3])) + ", ..." * (len(divided) > 3)
        raise UserError(
            f"{len(divided)} patients are in more than one split ({few}); accepted: each in one. If"
            " every split counts its patients afresh, let --groups take the split's name as well"
        )
