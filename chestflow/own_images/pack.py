"""Make a data set of your own images: an archive in MedMNIST's layout, and its entry in
datasets.yaml. No patient is in two splits, and duplicates across splits are found."""

import argparse
import hashlib
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from chestflow.config import reading, schema
from chestflow.config.schema import Params
from chestflow.data.arrays import SPLITS
from chestflow.errors import UserError, few, printable
from chestflow.own_images import listing, radiograph, splitting
from chestflow.own_images.listing import Item
from chestflow.own_images.splitting import members
from chestflow.sources import archive

PARAMS, DATASETS, FOLDER = Path("params.yaml"), Path("datasets.yaml"), Path("data/own")
CORRELATION = 0.985  # of near duplicates, at least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    listing.add_arguments(parser)
    add("--name", default="mine", help="of the data set, and of a run on it (%(default)s)")
    add("--pixels", type=int, choices=(28, 64, 128, 224), default=28, help="side (%(default)s)")


def main(options: argparse.Namespace) -> int:
    """Returns the exit code: 1 if a file could not be read."""
    params, name = reading.params(PARAMS), options.name
    target = (FOLDER / f"{name}.npz").resolve()
    check_name(name, target, params)
    items = listing.items(options.given, options.groups, "pack")
    diseased = listing.diseased_classes(items, options.positive)
    items = splitting.assign(items, diseased)
    check_classes(items, diseased)
    images = listing.prepared(items, options.pixels, "pack")
    kept, copies = without_copies([item for item in items if item.name in images], images)
    check_classes(kept, diseased)
    archive.write(target, arrays_of(kept, images, diseased))
    write_entry(name, target, diseased)
    print_splits(kept, diseased)
    unknown = [item.name for item in kept if not item.patient]
    print_remark("files of unknown patients, each one of its own (see --groups)", unknown)
    print_remark("equal images across splits, left out of the first", copies)
    print_remark("nearly equal images across splits, kept", nearly_equal(kept, images))
    print(f"pack: wrote {printable(target)}, and datasets.{name} in {DATASETS}")
    print(f"next: {next_command(params, name, options.pixels)}", flush=True)
    return int(len(images) < len(items))


def check_classes(items: list[Item], diseased: Sequence[str]) -> None:
    """Raise UserError for a split without diseased or healthy images."""
    for split in SPLITS:
        kinds = {item.is_any(diseased) for item in members(items, split)}
        if len(kinds) < 2:
            raise UserError(
                f"no {'healthy' if True in kinds else 'diseased'} image in {split}; accepted: both"
                " kinds in every split; to draw them takes three patients (or files) of each, or"
                " give splits of your own"
            )


def without_copies(
    items: list[Item], images: dict[str, np.ndarray]
) -> tuple[list[Item], list[str]]:
    """The items without those that equal an image of a split that comes later among train, val and
    test: a score must not profit from it, and training can do without. And the copies left out."""
    kept, copies = [], []
    known: dict[bytes, Item] = {}
    for split in reversed(SPLITS):
        for item in members(items, split):
            twin = known.setdefault(images[item.name].tobytes(), item)
            if twin.split == split:
                kept.append(item)
            else:
                copies.append(f"{item} = {twin}")
    return kept, copies


def arrays_of(
    items: list[Item], images: dict[str, np.ndarray], diseased: Sequence[str]
) -> dict[str, np.ndarray]:
    """MedMNIST's layout: (N, side, side) images and (N, 1) labels of each split, 1 for disease."""
    arrays = {}
    for split in SPLITS:
        those = members(items, split)
        arrays[f"{split}_images"] = np.stack([images[item.name] for item in those])
        arrays[f"{split}_labels"] = np.array([[item.is_any(diseased)] for item in those], np.uint8)
    return arrays


def nearly_equal(items: list[Item], images: dict[str, np.ndarray]) -> list[str]:
    """What to look at: an image and its near duplicate in another split, that is a copy which was
    compressed again, resized or brightened. Different radiographs do not correlate so much: of
    5.7 million pairs across splits (Kermany et al. 2018, 28 pixels), none by more than 0.981."""
    pairs = []
    for one, other in combinations([members(items, split) for split in SPLITS], 2):
        vectors = standardised([images[item.name] for item in other])
        for item, vector in zip(one, standardised([images[item.name] for item in one])):
            near = np.flatnonzero(vectors @ vector >= CORRELATION)
            pairs += [f"{item} = {other[j]}" for j in near]
    return pairs


def standardised(images: Sequence[np.ndarray]) -> np.ndarray:
    """N images (side, side) uint8 -> (N, 784) of mean 0 and length 1, whose products are
    correlations."""
    pixels = np.stack([radiograph.prepare(image, 28).ravel() for image in images])
    centred = pixels - pixels.mean(axis=1, keepdims=True, dtype=np.float32)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def check_name(name: str, target: Path, params: Params) -> None:
    """Raise UserError for a name that is not allowed, or taken by a run on other data or by a data
    set that `pack` has not written."""
    schema.name(name)
    declared, run = reading.datasets(DATASETS).get(name), params.runs.get(name)
    if (run and run.dataset != name) or (declared and declared.url != str(target)):
        raise UserError(f"name: a run or data set is called {name}; accepted: another --name")


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
    """What trains and scores a run of that name on the data set."""
    new = [f"+runs.{name}.dataset={name}", f"+runs.{name}.init=scratch"]
    changes = [] if name in params.runs else new
    changes += [f"pixels={pixels}"] if pixels != params.pixels else []
    return " ".join(["dvc exp run", *(f"-S {change}" for change in changes), f"evaluate@{name}"])


def print_splits(items: list[Item], diseased: Sequence[str]) -> None:
    """The splits as a table, and which classes are diseased."""
    print(f"{'':5}{'images':>10}{'patients':>10}{'diseased':>10}")
    for split in SPLITS:
        those = members(items, split)
        patients = len({item.whose for item in those})
        ill = sum(item.is_any(diseased) for item in those)
        print(f"{split:5}{len(those):10,}{patients:10,}{ill:10,}")
    print(f"pack: diseased: {printable(', '.join(diseased))}")


def print_remark(what: str, names: list[str]) -> None:
    if names:
        print(f"pack: {len(names):,} {what}: {few(names)}")
