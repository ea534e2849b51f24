"""Stage: decide from its labels which image is diseased; write arrays to map into memory."""

import hashlib
from pathlib import Path

import numpy as np

from chestflow import files, stage
from chestflow.config import reading
from chestflow.data import arrays, captions
from chestflow.data.labels import binary_labels
from chestflow.errors import UserError
from chestflow.sources import archive as npz


def binarize(dataset: str, datasets: Path, archive: Path, out: Path, metrics: Path) -> None:
    declared, held = reading.dataset(datasets, dataset), npz.keys(archive)
    origin = "phantom" if npz.is_phantom(archive) else "images"
    splits = {
        name: binary_split(archive, name, declared.diseased, f"{name}_masks" in held)
        for name in arrays.SPLITS
    }
    for name, split in splits.items():
        if len(np.unique(split.labels)) < 2:
            side = declared.positive if split.labels.any() else "healthy"
            raise UserError(
                f"all {len(split.labels)} {name} images of {dataset} are {side}; accepted: both"
                f" classes in every split (datasets.{dataset}.diseased says which labels count)"
            )
    arrays.write(out, origin, splits)
    about = captions.of_folder(out, declared.title, declared.positive)
    counts = {name: class_counts(split.labels) for name, split in splits.items()}
    # Of the three splits, listed, DVC's table shows test alone: its scores stand beside the runs'.
    shown = {key: counts["test"][key] for key in ("n", "prevalence", "majority_accuracy")}
    listed = [{"split": name, **count} for name, count in counts.items()]
    side = arrays.read(out, "test").images.shape[-1]
    with archive.open("rb") as file:
        origin_of = {"md5": hashlib.file_digest(file, "md5").hexdigest(), "pixels": side}
    files.write_json(metrics, {**about.record(), **origin_of, **shown, "splits": listed})
    print(f"binarize: {about.caption}: " + ", ".join(f"{k} {v['n']}" for k, v in counts.items()))


def binary_split(
    archive: Path, name: str, diseased: list[int] | None, has_masks: bool
) -> arrays.SplitInParts:
    """One split of a MedMNIST archive with binary labels, its images in parts that fit into memory;
    of a phantom also with its masks."""
    images, masks = (f"{name}_{field}" for field in ("images", "masks"))
    shape = npz.shape_of(archive, images)
    labels = npz.read(archive, f"{name}_labels")
    of_column = diseased is not None and labels.shape[1] > 1  # a mask's bit k is of column k
    bits = sum(1 << column for column in diseased or []) if of_column else -1
    found = (part.astype(np.int64) & bits != 0 for part in npz.blocks(archive, masks))
    return arrays.SplitInParts(
        arrays.Parts(shape, np.uint8, npz.blocks(archive, images)),
        binary_labels(labels, diseased),
        arrays.Parts(shape, bool, found) if has_masks else None,
    )


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
