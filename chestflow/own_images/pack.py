"""Make a data set of one's own images: an archive in MedMNIST's layout, and its entry in
datasets.yaml. Splits never divide a patient, and what lies in two of them is found."""

import argparse
import fcntl
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from chestflow.config import reading
from chestflow.config.schema import Params
from chestflow.config.values import RESERVED
from chestflow.errors import UserError
from chestflow.own_images import duplicates, entry, listing, radiograph, splitting
from chestflow.own_images.listing import Classes, Item
from chestflow.own_images.radiograph import shown
from chestflow.own_images.splitting import SPLITS
from chestflow.sources import archive, parts

NAMED = 5  # of each kind of finding, the first few
Pair = tuple[str, str]


@dataclass
class Packed:
    """What has become of the files."""

    kept: dict[str, list[Item]]  # by split, in the order of the archive
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
    add("--params", type=Path, default="params.yaml", help="%(default)s")
    add("--datasets", type=Path, default="datasets.yaml", help="%(default)s")


def main(options: argparse.Namespace) -> int:
    """Returns the exit code: 1 if a file could not be read."""
    params, shares = reading.params(options.params), splitting.fractions(options.split)
    if options.seed < 0:
        raise UserError(f"seed = {options.seed}; accepted: 0 or more")
    entry.check(options.datasets, options.name)
    items = listing.grouped(listing.items(options.given), options.groups)
    classes = listing.classes_of(items, options.positive)
    splits = splitting.assign(items, shares, options.seed)
    check_classes(splits, classes)
    target = (options.out / f"{options.name}.npz").resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    replaced = options.name in reading.datasets(options.datasets)
    with alone(target.parent), parts.folder_for(target) as folder:
        packed = prepare(splits, options.pixels, folder)
        try:
            check_classes(packed.kept, classes)
            archive.write(target, dict(arrays_of(packed, classes)))
            write_entry(options, target, classes)
            report(packed, classes)
            did = "replaced" if replaced else "wrote"
            print(f"pack: {did} {shown(target)}, and datasets.{options.name} in {options.datasets}")
            print(f"next: {next_command(params, options.name, options.pixels)}", flush=True)
        finally:
            for line in packed.unread:
                print(f"pack: {line}", file=sys.stderr)
    if packed.unread:
        unread = f"{len(packed.unread):,} of {len(items):,} files"
        print(f"pack: {unread} could not be read, see above", file=sys.stderr)
    return int(bool(packed.unread))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Raise UserError where another `pack` is at work, which writes the same datasets.yaml."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed however the process ends
        except BlockingIOError as error:
            raise UserError(f"another pack is at work in {shown(folder)}; try later") from error
        yield
    finally:
        os.close(opened)


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
                f"no image of class {shown(missing[0])} in {split} ({len(items)} images); accepted:"
                " each class in every split, which needs three patients, or files, of each"
            )


def prepare(splits: dict[str, list[Item]], side: int, folder: Path) -> Packed:
    """Read and prepare all files. What equals an image of a split that comes later among train, val
    and test is left out: a score must not profit from it, and training can do without."""
    packed = Packed({split: [] for split in SPLITS}, {})
    known: dict[bytes, tuple[str, Item]] = {}
    total = sum(map(len, splits.values()))
    with tqdm(total=total, desc="pack", unit="image", disable=None) as bar:
        for split in reversed(SPLITS):
            with (folder / split).open("wb") as file:
                for item in splits[split]:
                    if (image := prepared(item, side, packed)) is not None:
                        content = image.tobytes()
                        digest = hashlib.sha256(content).digest()
                        place, twin = known.setdefault(digest, (split, item))
                        if keep(item, split, twin, place, packed):
                            file.write(content)
                    bar.update()
            shape = (len(packed.kept[split]), side, side)
            if shape[0]:
                packed.images[split] = np.memmap(folder / split, np.uint8, "r", shape=shape)
    return packed


def prepared(item: Item, side: int, packed: Packed) -> np.ndarray | None:
    try:
        return radiograph.prepare(radiograph.read(item.path).grey, side)
    except UserError as error:
        packed.unread.append(str(error))
        return None


def keep(item: Item, split: str, twin: Item, place: str, packed: Packed) -> bool:
    """Whether an image stays, whose equal, perhaps itself, has been met in a split."""
    pair = (f"{item.name} ({split})", f"{twin.name} ({place})")
    if item is not twin:
        (packed.repeated if split == place else packed.dropped).append(pair)
        if item.labels != twin.labels:
            packed.contradictory.append(pair)
    if split == place:
        packed.kept[split].append(item)
    return split == place


def arrays_of(packed: Packed, classes: Classes) -> Iterable[tuple[str, np.ndarray]]:
    for split in SPLITS:
        yield f"{split}_images", packed.images[split]
        labels = [classes.row(item) for item in packed.kept[split]]
        yield f"{split}_labels", np.array(labels, np.uint8)


def nearly_equal(packed: Packed) -> list[Pair]:
    pairs = []
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        for i, j in duplicates.near(packed.images[one], packed.images[other]):
            names = packed.kept[one][i].name, packed.kept[other][j].name
            pairs.append((f"{names[0]} ({one})", f"{names[1]} ({other})"))
    return pairs


def write_entry(options: argparse.Namespace, target: Path, classes: Classes) -> None:
    with target.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    named = [classes.names[k] for k in classes.diseased]
    usable = len(named) == 1 and len(named[0]) <= 20 and named[0].isprintable()
    values = {
        "title": options.name,
        "positive": named[0] if usable and named[0].lower() != "healthy" else "diseased",
        "findings": len(classes.names) if classes.several else 1,
        "classes": 2 if classes.several else len(classes.names),
        "diseased": list(classes.diseased),
        "url": str(target),
        "md5": md5,
        "phantom": None,
    }
    numbered = (f"{k} {shown(name)}" for k, name in enumerate(classes.names))
    entry.write(options.datasets, options.name, values, ", ".join(numbered))


def next_command(params: Params, name: str, pixels: int) -> str:
    """What trains and scores a run on the data set: one of its name, unless that is taken."""
    run, known = name, params.runs
    while run.lower() in RESERVED or (run in known and known[run].dataset != name):
        run += "-own"
    changes = [] if run in known else [f"+runs.{run}.dataset={name}", f"+runs.{run}.init=scratch"]
    changes += [f"pixels={pixels}"] * (params.pixels != pixels)
    return " ".join(["dvc exp run", *(f"-S {change}" for change in changes), f"evaluate@{run}"])


def report(packed: Packed, classes: Classes) -> None:
    """The splits as a table, and what was found in them."""
    known = any(item.patient for items in packed.kept.values() for item in items)
    rows = [("", "images", *(["patients"] * known), *map(shown, classes.names))]
    for split, items in packed.kept.items():
        counts = Counter(label for item in items for label in item.labels)
        patients = {item.patient or f"file {item.name}" for item in items}
        numbers = [len(items), *([len(patients)] * known), *(counts[n] for n in classes.names)]
        rows.append((split, *(f"{number:,}" for number in numbers)))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(map(str.rjust, row, widths)))
    diseased = ", ".join(classes.names[k] for k in classes.diseased)
    print(f"pack: diseased: {shown(diseased)}")
    unknown = [item.name for items in packed.kept.values() for item in items if not item.patient]
    if not known:
        print("pack: warning: patients unknown, each file counts as one of its own (see --groups)")
    else:
        tell("files without a patient, each one of its own", unknown)
    tell("equal images across splits, left out of the first", packed.dropped)
    tell("equal images within a split, kept", packed.repeated)
    tell("equal images of different classes", packed.contradictory)
    tell("nearly equal images across splits, kept", nearly_equal(packed))


def tell(what: str, found: list) -> None:
    if found:
        named = [" = ".join(each) if isinstance(each, tuple) else each for each in found[:NAMED]]
        rest = ", ..." * (len(found) > NAMED)
        print(f"pack: {len(found):,} {what}: {shown(', '.join(named))}{rest}")
