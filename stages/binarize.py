"""Stage: decide from its labels which image is diseased; write arrays to map into memory."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from chestflow import files, stage
from chestflow.config import reading
from chestflow.data import arrays, captions
from chestflow.data.labels import binary_labels
from chestflow.errors import UserError
from chestflow.sources import archive as npz
from chestflow.sources.parts import folder_for


def binarize(
    dataset: str, datasets: Path, archive: Path, out: Path, metrics: Path, *, pixels: int
) -> None:
    declared = reading.dataset(datasets, dataset)
    with folder_for(out) as folder:
        unpacked = npz.unpack(archive, folder, pixels)
        check_diseased(f"datasets.{dataset}.diseased", declared.diseased, unpacked)
        splits = {
            name: binary_split(unpacked, name, declared.diseased, folder) for name in arrays.SPLITS
        }
        check_classes(dataset, declared.positive, splits)
        arrays.write(out, "phantom" if npz.is_phantom(archive) else "images", splits)
    about = captions.of_folder(out, declared.title, declared.positive)
    counts = {name: class_counts(split.labels) for name, split in splits.items()}
    # DVC's table leaves lists out: it shows the counts of test alone.
    test = {key: counts["test"][key] for key in ("n", "prevalence", "majority_accuracy")}
    listed = [{"split": name, **count} for name, count in counts.items()]
    with archive.open("rb") as file:
        source = {"md5": hashlib.file_digest(file, "md5").hexdigest(), "pixels": pixels}
    files.write_json(metrics, {**about.record(), **source, **test, "splits": listed})
    print(f"binarize: {about.caption}: " + ", ".join(f"{k} {v['n']}" for k, v in counts.items()))


def check_diseased(
    key: str, diseased: list[int] | None, unpacked: Mapping[str, np.ndarray]
) -> None:
    """Raise UserError for diseased labels that no image has, or columns that do not exist."""
    labels = np.concatenate([unpacked[f"{name}_labels"] for name in arrays.SPLITS])
    columns = labels.shape[1]
    what, known = ("columns", range(columns)) if columns > 1 else ("labels", np.unique(labels))
    if not set(diseased or []) <= set(known):
        accepted = f"{what} {', '.join(map(str, known))}, or null for any but 0"
        raise UserError(f"{key} = {diseased}; accepted: {accepted}")


def check_classes(dataset: str, positive: str, splits: Mapping[str, arrays.Split]) -> None:
    """Raise UserError for a split whose images are of one class."""
    for name, split in splits.items():
        if len(np.unique(split.labels)) < 2:
            only = positive if split.labels.any() else "healthy"
            raise UserError(
                f"all {len(split)} {name} images of {dataset} are {only}; accepted: both classes in"
                f" every split (datasets.{dataset}.diseased says which labels count)"
            )


def binary_split(
    unpacked: Mapping[str, np.ndarray], name: str, diseased: list[int] | None, folder: Path
) -> arrays.Split:
    """One split of a MedMNIST archive with binary labels; of a phantom also with its masks, which
    are written to a file in the folder, because they may not fit into memory."""
    images, labels = unpacked[f"{name}_images"], unpacked[f"{name}_labels"]
    if (findings := unpacked.get(f"{name}_masks")) is None:
        return arrays.Split(images, binary_labels(labels, diseased))
    of_column = diseased is not None and labels.shape[1] > 1  # a mask's bit k is of column k
    bits = sum(1 << column for column in diseased or []) if of_column else -1
    masks = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", bool, images.shape)
    for block in arrays.blocks(findings):
        masks[block] = findings[block].astype(np.int64) & bits != 0
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
