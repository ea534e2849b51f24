"""Make a data set of your own images: an archive in MedMNIST's layout, and its entry in
datasets.yaml. No patient is in two splits, and copies in different splits are removed."""

import argparse
import hashlib
import json
import os
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from chestflow.config import reading
from chestflow.config.schema import Params
from chestflow.config.values import RESERVED
from chestflow.errors import UserError, printable
from chestflow.own_images import listing, near_duplicates, radiograph, splitting
from chestflow.own_images.listing import Classes, Item
from chestflow.own_images.splitting import SPLITS
from chestflow.sources import archive

PARAMS, DATASETS = Path("params.yaml"), Path("datasets.yaml")
MARK = "# by `chestflow pack`, which may replace it"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
NAMED = 5  # of each kind of finding, the first few
Pair = tuple[str, str]


@dataclass
class Packed:
    """The packed images, and what was noticed about them."""

    items: dict[str, list[Item]]  # by split, in the order of the archive
    images: dict[str, np.ndarray]  # (N, side, side) uint8 each
    unread: list[str] = field(default_factory=list)
    dropped: list[Pair] = field(default_factory=list)  # equal to an image of another split
    repeated: list[Pair] = field(default_factory=list)  # equal to one of the same split
    contradictory: list[Pair] = field(default_factory=list)  # of either, those of other classes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("given", type=Path, metavar="FOLDER|CSV", help=listing.LAYOUTS.replace("%", "%%"))
    add("--name", default="mine", help="of the data set (%(default)s)")
    add("--pixels", type=int, choices=(28, 64, 128, 224), default=28, help="side (%(default)s)")
    add("--split", default="0.8,0.1,0.1", help="shares of train, val and test (%(default)s)")
    add("--seed", type=int, default=0, help="of drawn splits (%(default)s)")
    listing.add_options(parser)
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
    packed = prepare(splits, options.pixels)
    check_classes(packed.items, classes)
    target = (options.out / f"{options.name}.npz").resolve()
    archive.write(target, arrays_of(packed, classes))
    write_entry(options.name, target, classes)
    report(packed, classes)
    print(f"pack: wrote {printable(target)}, and datasets.{options.name} in {DATASETS}")
    print(f"next: {next_command(params, options.name, options.pixels)}", flush=True)
    if packed.unread:
        unread = f"{len(packed.unread):,} of {len(items):,} files"
        print(f"pack: {unread} could not be read, see above", file=sys.stderr)
    return int(bool(packed.unread))


def check_classes(splits: dict[str, list[Item]], classes: Classes) -> None:
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


def prepare(splits: dict[str, list[Item]], side: int) -> Packed:
    """Read and prepare all files. Of equal images in different splits, only those of the last split
    (train, val, test) are kept, because scores on known images would be too high."""
    packed = Packed({split: [] for split in SPLITS}, {})
    known: dict[bytes, tuple[str, Item]] = {}
    with tqdm(total=sum(map(len, splits.values())), desc="pack", unit="image", disable=None) as bar:
        for split in reversed(SPLITS):
            images = []
            for item in splits[split]:
                bar.update()
                try:
                    image = radiograph.prepare(radiograph.read(item.path).grey, side)
                except UserError as error:
                    tqdm.write(f"pack: {printable(error)}", file=sys.stderr)
                    packed.unread.append(item.name)
                    continue
                place, twin = known.setdefault(image.tobytes(), (split, item))
                if keep(item, split, twin, place, packed):
                    packed.items[split].append(item)
                    images.append(image)
            packed.images[split] = np.array(images, np.uint8).reshape(-1, side, side)
    return packed


def keep(item: Item, split: str, twin: Item, place: str, packed: Packed) -> bool:
    """Whether to keep an image, given the split in which an equal one (or itself) was last met."""
    pair = (f"{item.name} ({split})", f"{twin.name} ({place})")
    if item is not twin:
        (packed.repeated if split == place else packed.dropped).append(pair)
        if item.labels != twin.labels:
            packed.contradictory.append(pair)
    return split == place


def arrays_of(packed: Packed, classes: Classes) -> dict[str, np.ndarray]:
    arrays = {}
    for split in SPLITS:
        arrays[f"{split}_images"] = packed.images[split]
        labels = [classes.row(item) for item in packed.items[split]]
        arrays[f"{split}_labels"] = np.array(labels, np.uint8)
    return arrays


# -------------------------------------------------------------------------------------- the entry


def check_name(name: str) -> None:
    """Raise UserError for a name that is not allowed, or taken by what `pack` has not written."""
    if not NAME.fullmatch(name) or yaml.safe_load(name) != name:  # on, for one, is True
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
    usable = len(diseased) == 1 and len(diseased[0]) <= 20 and diseased[0].isprintable()
    numbered = ", ".join(f"{k} {printable(label)}" for k, label in enumerate(classes.names))
    values = {
        "title": name,
        "positive": diseased[0] if usable and diseased[0].lower() != "healthy" else "diseased",
        "findings": len(classes.names) if classes.several else 1,
        "classes": 2 if classes.several else len(classes.names),
        "diseased": list(classes.diseased),
        "url": str(target),
        "md5": hashlib.md5(target.read_bytes()).hexdigest(),
        "phantom": None,
    }
    lines = [f"    {key}: {json.dumps(v, ensure_ascii=False)}" for key, v in values.items()]
    entry = "\n".join([f"  {name}:  {MARK}", *lines, ""])
    entry = entry.replace("\n    url:", f"  # {numbered}\n    url:")
    before = DATASETS.read_text(encoding="utf-8").rstrip("\n") + "\n"
    after, replaced = _entry(name).subn(lambda _: entry, before)
    part = DATASETS.with_name(f"{DATASETS.name}.part")
    part.write_text(after if replaced else before + entry, encoding="utf-8")
    os.replace(part, DATASETS)


def next_command(params: Params, name: str, pixels: int) -> str:
    """What trains and scores a run on the data set: one of its name, unless that is taken."""
    run, known = name, params.runs
    while run.lower() in RESERVED or (run in known and known[run].dataset != name):
        run += "-own"
    changes = [] if run in known else [f"+runs.{run}.dataset={name}", f"+runs.{run}.init=scratch"]
    changes += [f"pixels={pixels}"] * (params.pixels != pixels)
    return " ".join(["dvc exp run", *(f"-S {change}" for change in changes), f"evaluate@{run}"])


# ----------------------------------------------------------------------------- what is reported


def report(packed: Packed, classes: Classes) -> None:
    """The splits as a table, and what was noticed in them."""
    known = any(item.patient for items in packed.items.values() for item in items)
    rows = [("", "images", *(["patients"] * known), *map(printable, classes.names))]
    for split, items in packed.items.items():
        counts = Counter(label for item in items for label in item.labels)
        patients = {item.patient or f"file {item.name}" for item in items}
        numbers = [len(items), *([len(patients)] * known), *(counts[n] for n in classes.names)]
        rows.append((split, *(f"{number:,}" for number in numbers)))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(map(str.rjust, row, widths)))
    diseased = ", ".join(classes.names[k] for k in classes.diseased)
    print(f"pack: diseased: {printable(diseased)}")
    if known:
        unknown = [item.name for each in packed.items.values() for item in each if not item.patient]
        tell("files without a patient, each one of its own", unknown)
    else:
        print("pack: warning: patients unknown, each file counts as one of its own (see --groups)")
    tell("equal images across splits, left out of the first", packed.dropped)
    tell("equal images within a split, kept", packed.repeated)
    tell("equal images of different classes", packed.contradictory)
    tell("nearly equal images across splits, kept", nearly_equal(packed))


def nearly_equal(packed: Packed) -> list[Pair]:
    pairs = []
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        for i, j in near_duplicates.near(packed.images[one], packed.images[other]):
            names = packed.items[one][i].name, packed.items[other][j].name
            pairs.append((f"{names[0]} ({one})", f"{names[1]} ({other})"))
    return pairs


def tell(what: str, cases: list) -> None:
    if cases:
        names = [" = ".join(each) if isinstance(each, tuple) else each for each in cases[:NAMED]]
        rest = ", ..." * (len(cases) > NAMED)
        print(f"pack: {len(cases):,} {what}: {printable(', '.join(names))}{rest}")
