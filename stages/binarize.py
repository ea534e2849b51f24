"""Stage: decide from its labels which image is diseased; write arrays to map into memory."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from chestflow import files, stage
from chestflow.config import reading
from chestflow.data import arrays, captions
from chestflow.data.labels import binary_labels
from chestflow.errors import UserError
from chestflow.sources import archive as npz


def binarize(
    dataset: str, datasets: Path, archive: Path, out: Path, metrics: Path, *, pixels: int
) -> None:
    declared = reading.dataset(datasets, dataset)
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out) as folder:  # in `out`, which DVC clears after a crash
        unpacked = npz.unpack(archive, Path(folder), pixels)
        columns = unpacked["train_labels"].shape[1]
        check_columns(f"datasets.{dataset}.diseased", declared.diseased, columns)
        splits = {name: binary_split(unpacked, name, declared.diseased) for name in arrays.SPLITS}
        check_classes(dataset, splits)
        origin = "phantom" if str(unpacked.get("origin")) == "phantom" else "images"
        arrays.write(out, origin, splits)
    about = captions.of_dataset(declared.title, pixels, origin, declared.positive)
    counts = [{"split": name} | class_counts(split.labels) for name, split in splits.items()]
    # DVC's table leaves lists out: it shows the counts of test alone.
    test = {key: counts[-1][key] for key in ("n", "prevalence", "majority_accuracy")}
    with archive.open("rb") as file:
        source = {"md5": hashlib.file_digest(file, "md5").hexdigest(), "pixels": pixels}
    files.write_json(metrics, {**about.record(), **source, **test, "splits": counts})
    print(f"binarize: {about.caption}: " + ", ".join(f"{c['split']} {c['n']}" for c in counts))


def check_columns(key: str, diseased: list[int] | None, columns: int) -> None:
    """Raise UserError where `diseased` names columns, of several, that do not exist."""
    if 1 < columns <= max(diseased or [0]):
        raise UserError(f"{key} = {diseased}; accepted: columns 0 to {columns - 1}, or null")


def check_classes(dataset: str, splits: Mapping[str, arrays.Split]) -> None:
    """Raise UserError for a split whose images are of one class."""
    for name, split in splits.items():
        if len(np.unique(split.labels)) < 2:
            raise UserError(
                f"all {len(split)} {name} images of {dataset} are of one class; accepted: both in"
                f" every split (datasets.{dataset}.diseased says which labels count as diseased)"
            )


def binary_split(
    unpacked: Mapping[str, np.ndarray], name: str, diseased: list[int] | None = None
) -> arrays.Split:
    """One split of a MedMNIST archive with binary labels; of a phantom also with its masks."""
    images, labels = unpacked[f"{name}_images"], unpacked[f"{name}_labels"]
    if (masks := unpacked.get(f"{name}_masks")) is not None:
        if diseased is not None and labels.shape[1] > 1:  # bit k of a mask is of column k
            masks = masks & np.int64(sum(1 << column for column in diseased))
        masks = masks != 0
    return arrays.Split(images, binary_labels(labels, diseased), masks)


def class_counts(labels: np.ndarray) -> dict[str, float]:
    """How many images of each class, and what always naming the larger one would score."""
    n, positive = len(labels), int(labels.sum())
    return {
        "n": n,
        "healthy": n - positive,
        "positive": positive,
        "prevalence": positive / n,
        "majority_accuracy": max(positive, n - positive) / n,
    }


if __name__ == "__main__":
    stage.run(binarize)
