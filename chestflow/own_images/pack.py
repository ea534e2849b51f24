"""Make a data set of one's own images: an archive in MedMNIST's layout, and its entry in
datasets.yaml. Splits never divide a patient, and what lies in two of them is found."""

import argparse
import hashlib
import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from chestflow.config import reading
from chestflow.config.schema import RESERVED, Params
from chestflow.errors import UserError, printable
from chestflow.own_images import listing, near_duplicates, splitting
from chestflow.own_images.listing import Item
from chestflow.own_images.splitting import SPLITS
from chestflow.sources import archive

PARAMS, DATASETS, FOLDER = Path("params.yaml"), Path("datasets.yaml"), Path("data/own")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
NAMED = 5  # of each kind of remark, the first few files
Splits = dict[str, list[Item]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    listing.add_arguments(parser)
    add("--name", default="mine", help="of the data set (%(default)s)")
    add("--pixels", type=int, choices=(28, 64, 128, 224), default=28, help="side (%(default)s)")


def main(options: argparse.Namespace) -> int:
    """Returns the exit code: 1 if a file could not be read."""
    params, name = reading.params(PARAMS), options.name
    target = (FOLDER / f"{name}.npz").resolve()
    check_name(name, target)
    items = listing.items(options.given, options.groups, "pack")
    diseased = listing.diseased_classes(items, options.positive)
    splits = splitting.assign(items, diseased)
    check_classes(splits, diseased)
    images = listing.prepared(items, options.pixels, "pack")
    splits, copies = without_copies(splits, images)
    check_classes(splits, diseased)
    arrays = arrays_of(splits, images, diseased)
    archive.write(target, arrays)
    write_entry(name, target, diseased)
    print_splits(splits, diseased)
    print_remark("equal images across splits, left out of the first", copies)
    print_remark("nearly equal images across splits, kept", nearly_equal(splits, arrays))
    print(f"pack: wrote {printable(target)}, and datasets.{name} in {DATASETS}")
    print(f"next: {next_command(params, name, options.pixels)}", flush=True)
    return int(len(images) < len(items))


def check_classes(splits: Splits, diseased: Sequence[str]) -> None:
    """Raise UserError for a split without diseased or healthy images."""
    for split, items in splits.items():
        for is_diseased, kind in ((True, "diseased"), (False, "healthy")):
            if all(item.is_any(diseased) != is_diseased for item in items):
                raise UserError(
                    f"no {kind} image in {split} ({len(items)} images); accepted: both kinds in"
                    " every split; to draw them takes three patients (or files) of each, or give"
                    " splits of your own"
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
    splits: Splits, images: dict[str, np.ndarray], diseased: Sequence[str]
) -> dict[str, np.ndarray]:
    """MedMNIST's layout: (N, side, side) images and (N, 1) labels of each split, 1 for disease."""
    arrays = {}
    for split, items in splits.items():
        arrays[f"{split}_images"] = np.stack([images[item.name] for item in items])
        arrays[f"{split}_labels"] = np.array([[item.is_any(diseased)] for item in items], np.uint8)
    return arrays


def nearly_equal(splits: Splits, arrays: dict[str, np.ndarray]) -> list[str]:
    """What to look at: an image and its near duplicate in another split."""
    return [
        f"{splits[one][i].name} ({one}) = {splits[other][j].name} ({other})"
        for one, other in combinations(SPLITS, 2)
        for i, j in near_duplicates.near(arrays[f"{one}_images"], arrays[f"{other}_images"])
    ]


# -------------------------------------------------------------------------------------- the entry


def check_name(name: str, target: Path) -> None:
    """Raise UserError for a name that is not allowed, or taken by what `pack` has not written."""
    if not NAME.fullmatch(name) or name.lower() in RESERVED:
        raise UserError(f"name: {name!r} is no name; accepted: letters, digits, _ and -")
    declared = reading.datasets(DATASETS)
    if name in declared and declared[name].url != str(target):
        raise UserError(f"{DATASETS} has a data set {name} already; accepted: another --name")


def write_entry(name: str, target: Path, diseased: Sequence[str]) -> None:
    """Add the entry to datasets.yaml, or replace it; the other text stays as it is."""
    one_short = len(diseased) == 1 and len(diseased[0]) <= 20  # as datasets.yaml allows
    yaml = YAML()
    yaml.width = 1000  # longer than any path
    yaml.representer.add_representer(
        type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    content = yaml.load(DATASETS)
    content["datasets"][name] = {
        "title": name,
        "positive": diseased[0] if one_short else "diseased",
        "url": str(target),
        "md5": hashlib.md5(target.read_bytes()).hexdigest(),
    }
    yaml.dump(content, DATASETS)


def next_command(params: Params, name: str, pixels: int) -> str:
    """What trains and scores a run on the data set: one of its name, unless that is taken."""
    run, known = name, params.runs
    while run.lower() in RESERVED or (run in known and known[run].dataset != name):
        run += "-own"
    changes = [] if run in known else [f"+runs.{run}.dataset={name}", f"+runs.{run}.init=scratch"]
    changes += [f"pixels={pixels}"] * (params.pixels != pixels)
    return " ".join(["dvc exp run", *(f"-S {change}" for change in changes), f"evaluate@{run}"])


# --------------------------------------------------------------------------------- what is printed


def print_splits(splits: Splits, diseased: Sequence[str]) -> None:
    """The splits as a table, which classes are diseased, and of which files the patient is not
    known."""
    rows: list[tuple[str, ...]] = [("", "images", "patients", "diseased")]
    for split, items in splits.items():
        ill = sum(item.is_any(diseased) for item in items)
        numbers = len(items), len({item.whose for item in items}), ill
        rows.append((split, *(f"{number:,}" for number in numbers)))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(map(str.rjust, row, widths)))
    print(f"pack: diseased: {printable(', '.join(diseased))}")
    unknown = [item.name for items in splits.values() for item in items if not item.patient]
    if len(unknown) == sum(map(len, splits.values())):
        print("pack: warning: patients unknown, each file counts as one of its own (see --groups)")
    else:
        print_remark("files without a patient, each one of its own", unknown)


def print_remark(what: str, names: list[str]) -> None:
    if names:
        rest = ", ..." * (len(names) > NAMED)
        print(f"pack: {len(names):,} {what}: {printable(', '.join(names[:NAMED]))}{rest}")
