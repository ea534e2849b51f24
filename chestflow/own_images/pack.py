"""Make a data set of one's own images: an archive in MedMNIST's layout, and its entry in
datasets.yaml. Splits never divide a patient, and what lies in two of them is found."""

import argparse
import hashlib
import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np

from chestflow.config import reading
from chestflow.config.schema import Params
from chestflow.config.values import RESERVED
from chestflow.errors import UserError, printable
from chestflow.own_images import listing, near_duplicates, splitting
from chestflow.own_images.listing import Classes, Item
from chestflow.own_images.splitting import SPLITS
from chestflow.sources import archive

PARAMS, DATASETS = Path("params.yaml"), Path("datasets.yaml")
MARK = "# by `chestflow pack`, which may replace it"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
NAMED = 5  # of each kind of remark, the first few files
Splits = dict[str, list[Item]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    listing.add_arguments(parser)
    add("--name", default="mine", help="of the data set (%(default)s)")
    add("--pixels", type=int, choices=(28, 64, 128, 224), default=28, help="side (%(default)s)")
    add("--split", default="0.8,0.1,0.1", help="shares of train, val and test (%(default)s)")
    add("--seed", type=int, default=0, help="of drawn splits (%(default)s)")
    add("--out", type=Path, default=Path("data/own"), help="folder of the archive (%(default)s)")


def main(options: argparse.Namespace) -> int:
    """Returns the exit code: 1 if a file could not be read."""
    params, shares = reading.params(PARAMS), splitting.fractions(options.split)
    if options.seed < 0:
        raise UserError(f"seed = {options.seed}; accepted: 0 or more")
    check_name(options.name)
    items = listing.items(options.given, options.groups, "pack")
    classes = listing.classes_of(items, options.positive)
    splits = splitting.assign(items, shares, options.seed)
    check_classes(splits, classes)
    images = listing.prepared(items, options.pixels, "pack")
    splits, copies = without_copies(splits, images)
    check_classes(splits, classes)
    arrays = arrays_of(splits, images, classes)
    target = (options.out / f"{options.name}.npz").resolve()
    archive.write(target, arrays)
    write_entry(options.name, target, classes)
    print_splits(splits, classes)
    print_remark("equal images across splits, left out of the first", copies)
    print_remark("nearly equal images across splits, kept", nearly_equal(splits, arrays))
    print(f"pack: wrote {printable(target)}, and datasets.{options.name} in {DATASETS}")
    print(f"next: {next_command(params, options.name, options.pixels)}", flush=True)
    return int(len(images) < len(items))


def check_classes(splits: Splits, classes: Classes) -> None:
    """Raise UserError for a split without one of the classes, or, where images may have several
    findings, without diseased or healthy images."""
    for split, items in splits.items():
        sides = {classes.is_diseased(item) for item in items}
        held = {label for item in items for label in item.labels}
        needed = () if classes.several else classes.names
        missing = [name for name in needed if name not in held]
        missing += ["healthy"] * (False not in sides) + ["diseased"] * (True not in sides)
        if missing:
            raise UserError(
                f"no image of class {missing[0]} in {split} ({len(items)} images); accepted: each"
                " class in every split, which needs three patients, or files, of each"
            )


def without_copies(splits: Splits, images: dict[str, np.ndarray]) -> tuple[Splits, list[str]]:
    """The splits without what could not be read and without what equals an image of a split that
    comes later among train, val and test: a score must not profit from it, and training can do
    without. And what was left out as such a copy."""
    kept: Splits = {split: [] for split in SPLITS}
    copies = []
    known: dict[bytes, tuple[str, Item]] = {}
    for split in reversed(SPLITS):
        for item in splits[split]:
            if item.name not in images:
                continue
            place, twin = known.setdefault(images[item.name].tobytes(), (split, item))
            if place == split:
                kept[split].append(item)
            else:
                copies.append(f"{item.name} ({split}) = {twin.name} ({place})")
    return kept, copies


def arrays_of(
    splits: Splits, images: dict[str, np.ndarray], classes: Classes
) -> dict[str, np.ndarray]:
    """MedMNIST's layout: (N, side, side) images and (N, label columns) labels of each split."""
    arrays = {}
    for split, items in splits.items():
        arrays[f"{split}_images"] = np.stack([images[item.name] for item in items])
        arrays[f"{split}_labels"] = np.array([classes.row(item) for item in items], np.uint8)
    return arrays


def nearly_equal(splits: Splits, arrays: dict[str, np.ndarray]) -> list[str]:
    return [
        f"{splits[one][i].name} ({one}) = {splits[other][j].name} ({other})"
        for one, other in combinations(SPLITS, 2)
        for i, j in near_duplicates.near(arrays[f"{one}_images"], arrays[f"{other}_images"])
    ]


# -------------------------------------------------------------------------------------- the entry


def check_name(name: str) -> None:
    """Raise UserError for a name that is not allowed, or taken by what `pack` has not written."""
    if not NAME.fullmatch(name):
        raise UserError(f"name: {name!r} is no name; accepted: letters, digits, _ and -")
    taken = {key.lower() for key in reading.datasets(DATASETS)}
    if name.lower() in taken and not _entry(name).search(DATASETS.read_text(encoding="utf-8")):
        raise UserError(f"{DATASETS} has a data set {name} already; accepted: another --name")


def _entry(name: str) -> re.Pattern:
    """An entry that `pack` has written."""
    return re.compile(rf"^  {re.escape(name)}:  {re.escape(MARK)}\n(?:    .*\n)*", re.MULTILINE)


def write_entry(name: str, target: Path, classes: Classes) -> None:
    """Append the entry to datasets.yaml, or replace it; the other text stays as it is."""
    diseased = [classes.names[k] for k in classes.diseased]
    one_short = len(diseased) == 1 and len(diseased[0]) <= 20  # as datasets.yaml allows
    values = {
        "title": name,
        "positive": diseased[0] if one_short else "diseased",
        "findings": len(classes.names) if classes.several else 1,
        "classes": 2 if classes.several else len(classes.names),
        "diseased": list(classes.diseased),
        "url": str(target),
        "md5": hashlib.md5(target.read_bytes()).hexdigest(),
        "phantom": None,
    }
    lines = [f"    {key}: {json.dumps(v, ensure_ascii=False)}" for key, v in values.items()]
    numbered = ", ".join(f"{k} {printable(label)}" for k, label in enumerate(classes.names))
    entry = "\n".join([f"  {name}:  {MARK}", f"    # {numbered}", *lines, ""])
    before = DATASETS.read_text(encoding="utf-8").rstrip("\n") + "\n"
    after, replaced = _entry(name).subn(lambda _: entry, before)
    DATASETS.write_text(after if replaced else before + entry, encoding="utf-8")


def next_command(params: Params, name: str, pixels: int) -> str:
    """What trains and scores a run on the data set: one of its name, unless that is taken."""
    run, known = name, params.runs
    while run.lower() in RESERVED or (run in known and known[run].dataset != name):
        run += "-own"
    changes = [] if run in known else [f"+runs.{run}.dataset={name}", f"+runs.{run}.init=scratch"]
    changes += [f"pixels={pixels}"] * (params.pixels != pixels)
    return " ".join(["dvc exp run", *(f"-S {change}" for change in changes), f"evaluate@{run}"])


# --------------------------------------------------------------------------------- what is printed


def print_splits(splits: Splits, classes: Classes) -> None:
    """The splits as a table, which classes are diseased, and of which files the patient is not
    known."""
    rows = [("", "images", "patients", *map(printable, classes.names))]
    for split, items in splits.items():
        counts = Counter(label for item in items for label in item.labels)
        patients = {item.patient or f"file {item.name}" for item in items}
        numbers = [len(items), len(patients), *(counts[name] for name in classes.names)]
        rows.append((split, *(f"{number:,}" for number in numbers)))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(map(str.rjust, row, widths)))
    diseased = ", ".join(classes.names[k] for k in classes.diseased)
    print(f"pack: diseased: {printable(diseased)}")
    unknown = [item.name for items in splits.values() for item in items if not item.patient]
    if len(unknown) == sum(map(len, splits.values())):
        print("pack: warning: patients unknown, each file counts as one of its own (see --groups)")
    else:
        print_remark("files without a patient, each one of its own", unknown)


def print_remark(what: str, names: list[str]) -> None:
    if names:
        rest = ", ..." * (len(names) > NAMED)
        print(f"pack: {len(names):,} {what}: {printable(', '.join(names[:NAMED]))}{rest}")
