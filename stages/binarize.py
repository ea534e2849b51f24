"""Stage: any finding makes an image positive; write arrays that can be mapped into memory."""

import hashlib
from pathlib import Path

import numpy as np

from chestflow.core import tables
from chestflow.images import arrays, captions
from chestflow.images.labelling import binary_labels
from chestflow.parameters import reading, stage
from chestflow.sources import archive as npz


def binarize(dataset: str, datasets: Path, archive: Path, out: Path, metrics: Path) -> None:
    declared, held = reading.dataset(datasets, dataset), npz.keys(archive)
    origin = "phantom" if npz.is_phantom(archive) else "images"
    splits = {name: binary_split(archive, name, f"{name}_masks" in held) for name in arrays.SPLITS}
    arrays.write(out, origin, splits)
    about = captions.of_folder(out, declared.title, declared.positive)
    counts = {name: class_counts(split.labels) for name, split in splits.items()}
    # Of the three splits, listed, DVC's table shows test alone: its scores stand beside the runs'.
    shown = {key: counts["test"][key] for key in ("n", "prevalence", "majority_accuracy")}
    listed = [{"split": name, **count} for name, count in counts.items()]
    side = arrays.read(out, "test").images.shape[-1]
    with archive.open("rb") as file:
        origin_of = {"md5": hashlib.file_digest(file, "md5").hexdigest(), "pixels": side}
    tables.write_json(metrics, {**about.record(), **origin_of, **shown, "splits": listed})
    print(f"binarize: {about.caption}: " + ", ".join(f"{k} {v['n']}" for k, v in counts.items()))


def binary_split(archive: Path, name: str, has_masks: bool) -> arrays.SplitInParts:
    """One split of a MedMNIST archive with binary labels, its images in parts that fit into memory;
    of a phantom also with its masks."""
    images, masks = (f"{name}_{field}" for field in ("images", "masks"))
    shape = npz.shape_of(archive, images)
    found = (part > 0 for part in npz.blocks(archive, masks))
    return arrays.SplitInParts(
        arrays.Parts(shape, np.uint8, npz.blocks(archive, images)),
        binary_labels(npz.read(archive, f"{name}_labels")),
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
