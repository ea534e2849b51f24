"""Stage: any finding makes a film positive; films and labels become arrays to map into memory."""

from pathlib import Path

import numpy as np

from stages.lib import archive as npz
from stages.lib import command, data, figures, tables
from stages.lib.parameters import Params, entry


def binarize(dataset: str, params: Params, archive: Path, out: Path, metrics: Path, plot: Path):
    declared, held = entry(params.datasets, dataset, "dataset"), npz.keys(archive)
    origin = str(npz.read(archive, "origin")) if "origin" in held else "films"
    side = npz.shape_of(archive, "train_images")[-1]
    title = declared.title if side == 28 else f"{declared.title} ({side} pixels)"
    about = data.About(title, origin, ("healthy", declared.positive))
    splits = {name: binary_split(archive, name, f"{name}_masks" in held) for name in data.SPLITS}
    data.write(out, about, splits)
    counts = {name: class_counts(split.labels) for name, split in splits.items()}
    # Of the three splits, listed, DVC's table shows test alone: its scores stand beside the runs'.
    shown = {key: counts["test"][key] for key in ("n", "prevalence", "majority_accuracy")}
    listed = [{"split": name, **count} for name, count in counts.items()]
    tables.write_json(metrics, {"data": about.caption(), **shown, "splits": listed})
    figures.save(figures.class_counts(counts, about), plot)
    print(f"binarize: {about.caption()}: " + ", ".join(f"{k} {len(v)}" for k, v in splits.items()))


def binary_split(archive: Path, name: str, has_masks: bool) -> data.Split:
    """One split of a MedMNIST archive with binary labels, its images in parts that fit into memory;
    of a phantom also with its masks."""
    images, masks = (f"{name}_{field}" for field in ("images", "masks"))
    shape = npz.shape_of(archive, images)
    found = (part > 0 for part in npz.blocks(archive, masks))
    return data.Split(
        data.Parts(shape, np.uint8, npz.blocks(archive, images)),
        data.binary_labels(npz.read(archive, f"{name}_labels")),
        data.Parts(shape, bool, found) if has_masks else None,
    )


def class_counts(labels: np.ndarray) -> dict[str, float]:
    """How many films of each class, and what always naming the larger one would score."""
    n, positive = len(labels), int(labels.sum())
    return {
        "n": n,
        "healthy": n - positive,
        "positive": positive,
        "prevalence": positive / n,
        "majority_accuracy": max(positive, n - positive) / n,
    }


if __name__ == "__main__":
    command.run(binarize)
