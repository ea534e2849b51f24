"""Validate the released model, or a run trained here, on labelled images of your own: scores with
intervals, beside those on the run's own test set; overlap with the training images, and how far
from them yours are; the worst errors. One page of HTML and a JSON. Not for diagnosis."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chestflow import files
from chestflow.config import reading
from chestflow.own_images import (
    listing,
    model,
    out_of_distribution,
    validation_page,
    validation_scores,
)
from chestflow.own_images.listing import Item
from chestflow.own_images.model import Model
from chestflow.own_images.validation_page import Rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    listing.add_arguments(parser)
    add("--out", type=Path, default=Path("validation"), help="folder of the page (%(default)s)")
    model.add_argument(parser)


def main(options: argparse.Namespace) -> int:
    """Write the page and its JSON; returns the exit code: 1 if a file could not be read."""
    params = reading.params("params.yaml")
    items = listing.items(options.given, options.groups, "validate")
    diseased = listing.diseased_classes(items, options.positive)
    network = model.load(options.run, params)
    images = listing.prepared(items, network.side, "validate")
    rows = answers([item for item in items if item.name in images], images, diseased, network)
    # Scores are about the images that training has not seen, if there are any.
    used = [row for row in rows if not row["overlap"]] or rows
    report: dict[str, Any] = {
        "given": str(options.given),
        "pooled_splits": sorted({item.split for item in items} - {""}),
        "files": len(items),
        "diseased_labels": list(diseased),
        "images": rows,
    }
    report = files.rounded(report | document(network, rows, used))
    folder = options.out / (options.run or "released")
    paths = {item.name: item.path for item in items}
    print(validation_page.write(folder, report, used, images, paths, network))
    return int(len(images) < len(items))


def answers(
    items: list[Item], images: dict[str, np.ndarray], diseased: Sequence[str], network: Model
) -> Rows:
    """What is known, and what the network says, of each image. `overlap`: whether training or
    validation saw an image that is equal once prepared."""
    stacked = np.stack([images[item.name] for item in items])
    rows = network.answers(stacked)
    for item, row, digest in zip(items, rows, model.hashes(stacked)):
        row |= {"file": item.name, "label": "|".join(item.labels), "patient": item.patient or None}
        row |= {"diseased": item.is_any(diseased), "overlap": digest in network.known_images}
    return rows


def document(network: Model, rows: Rows, used: Rows) -> dict[str, Any]:
    """What the page says; `used`: the rows of the `n` images that scores are about."""
    labels = np.array([row["diseased"] for row in used], int)
    raw, calibrated = (
        np.array([row[key] for row in used]) for key in ("raw_probability", "probability")
    )
    patients = [row["patient"] for row in used]
    groups = validation_scores.clusters(patients)
    overlap = sum(row["overlap"] for row in rows)
    return {
        "notice": network.notice(),
        "run": network.run,
        "classes": list(network.about.classes),
        "n": len(used),
        "patients": len(set(groups)) if any(patients) else None,
        "without_patient": patients.count(None),
        "diseased": int(labels.sum()),
        "overlap": overlap,
        "overlap_left_out": 0 < overlap < len(rows),
        "raw_threshold": network.threshold,
        "threshold": network.calibrated_threshold,
        "share_of_probabilities": network.share,
        "scores": validation_scores.report(labels, raw, calibrated, network.threshold, groups),
        "baselines": validation_scores.baselines(labels),
        "own_test": validation_scores.own_test(network.report),
        "confusion": validation_scores.confusion(labels, raw >= network.threshold),
        "out_of_distribution": {
            "above": out_of_distribution.LIMIT,
            "n": sum(row["out_of_distribution"] for row in used),
            "validation_images": len(network.reference.distances),
        },
    }
