"""Validate the released model, or a run that you have trained, on labelled images of your own:
scores with intervals, next to those on the model's own test set; overlap with the training images
and distance from them; the worst errors. Writes an HTML page and JSON. Not for diagnosis."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from chestflow import files
from chestflow.config import reading
from chestflow.errors import UserError, printable
from chestflow.metrics import calibration
from chestflow.own_images import (
    listing,
    model,
    out_of_distribution,
    radiograph,
    validation_page,
    validation_scores,
)
from chestflow.own_images.listing import Classes, Item
from chestflow.own_images.model import Model

WORST = 12  # errors that the page shows
Rows = list[dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add, layouts = parser.add_argument, listing.LAYOUTS.replace("%", "%%")
    add("given", type=Path, metavar="FOLDER|CSV", help=f"{layouts}; splits are pooled")
    listing.add_options(parser)
    add("--out", type=Path, default=Path("validation"), help="folder of the page (%(default)s)")
    add("--json", action="store_true", help="print the JSON instead of the page's text")
    model.add_argument(parser)


def main(options: argparse.Namespace) -> int:
    """Write the page and its JSON; returns the exit code: 1 if a file could not be read."""
    params = reading.params("params.yaml")
    items = listing.items(options.given, options.groups, "validate")
    network = model.load(options.run, params)
    classes = classes_of(items, options.positive, network.about.classes[1])
    images, unread = read(items, network.side)
    rows = evaluate(items, images, classes, network)
    # Scores are about the images that training has not seen, if there are any.
    used = [row for row in rows if not row["overlap"]] or rows
    splits = sorted({item.split for item in items} - {""})
    report: dict[str, Any] = {"given": str(options.given), "pooled_splits": splits}
    report |= document(network, classes, rows, used)
    report |= {"files": len(items), "images": rows, "unread": unread}
    report = files.rounded(report)
    folder = options.out / (options.run or "released")
    worst = [(row, images[row["file"]]) for row in worst_errors(used)]
    paths = {item.name: item.path for item in items}
    text = validation_page.write(folder, report, used, worst, paths, network)
    print(json.dumps(report, indent=2) if options.json else text)
    if unread:
        counted = f"{len(unread):,} of {len(items):,} files"
        print(f"validate: {counted} could not be read, see above", file=sys.stderr)
    return int(bool(unread))


def classes_of(items: list[Item], positive: list[str], disease: str) -> Classes:
    """As `pack` takes them. Of one class alone its name says whether it is diseased: --positive,
    or what the network calls disease."""
    names = sorted({label for item in items for label in item.labels})
    if len(names) > 1 or set(positive) - set(names):
        return listing.classes_of(items, positive)
    if positive or names[0].lower() == disease.lower():
        return Classes((names[0],), (0,), False)
    if listing.is_healthy(names[0]):
        return Classes((names[0],), (), False)
    raise UserError(
        f"is the only class, {names[0]}, diseased? Say so with --positive, or call it normal"
    )


def read(items: list[Item], side: int) -> tuple[dict[str, np.ndarray], list[dict[str, str]]]:
    """The prepared images by name, (side, side) each, and which files could not be read; that is
    said at once. Raises UserError if none could be."""
    images, unread = {}, []
    for item in tqdm(items, desc="validate", unit="image", disable=None):
        try:
            images[item.name] = radiograph.prepare(radiograph.read(item.path).grey, side)
        except UserError as error:
            tqdm.write(f"validate: {printable(error)}", file=sys.stderr)
            unread.append({"file": item.name, "reason": str(error)})
    if not images:
        raise UserError(f"none of {len(items):,} files could be read, see above")
    return images, unread


def evaluate(
    items: list[Item], images: dict[str, np.ndarray], classes: Classes, network: Model
) -> Rows:
    """A row per image: labels and predictions. `duplicate_of`: an earlier image that is equal once
    prepared; `overlap`: whether the network was trained or validated on an equal one."""
    stacked = np.stack(list(images.values()))
    rows, digests = network.answers(stacked), model.hashes(stacked)
    first: dict[bytes, str] = {}
    read = [item for item in items if item.name in images]
    for item, row, digest in zip(read, rows, digests):
        twin = first.setdefault(digest, item.name)
        row |= {"file": item.name, "label": "|".join(item.labels), "patient": item.patient or None}
        row |= {"diseased": classes.is_diseased(item), "overlap": digest in network.known_images}
        row |= {"duplicate_of": twin if twin != item.name else None}
    return rows


def document(network: Model, classes: Classes, rows: Rows, used: Rows) -> dict[str, Any]:
    """The content of the page; `used`: the rows of the `n` images that are scored."""
    labels, raw, calibrated = columns(used)
    patients = [row["patient"] for row in used]
    groups = validation_scores.clusters(patients)
    by_name, twins = {row["file"]: row for row in rows}, [r for r in rows if r["duplicate_of"]]
    overlap = sum(row["overlap"] for row in rows)
    return {
        "notice": network.notice(),
        "run": network.run,
        "data": network.about.caption,
        "classes": list(network.about.classes),
        "labels": list(classes.names),
        "diseased_labels": [classes.names[k] for k in classes.diseased],
        "n": len(used),
        "patients": len(set(groups)) if any(patients) else None,
        "without_patient": [row["file"] for row in used if not row["patient"]],
        "diseased": int(labels.sum()),
        "overlap": overlap,
        "overlap_left_out": 0 < overlap < len(rows),
        "raw_threshold": network.threshold,
        "threshold": network.calibrated_threshold,
        "calibration": network.report["calibration"],
        "share_of_probabilities": network.share,
        "scores": validation_scores.report(labels, raw, calibrated, network.threshold, groups),
        "baselines": validation_scores.baselines(labels),
        "own_test": validation_scores.of_metrics_file(network.report),
        "confusion": {
            "at_half": validation_scores.confusion(labels, raw >= 0.5),
            "at_threshold": validation_scores.confusion(labels, raw >= network.threshold),
        },
        "reliability": calibration.reliability(labels, calibrated),
        "out_of_distribution": {
            "above": out_of_distribution.LIMIT,
            "n": sum(row["out_of_distribution"] for row in used),
            "share": float(np.mean([row["out_of_distribution"] for row in used])),
            "expected": 1 - out_of_distribution.LIMIT / 100,
            "median_percentile": float(
                np.median([row["out_of_distribution_percentile"] for row in used])
            ),
            "validation_images": len(network.reference.distances),
        },
        "duplicates": [(row["file"], row["duplicate_of"]) for row in twins],
        "contradictory": [
            (row["file"], row["duplicate_of"])
            for row in twins
            if row["diseased"] != by_name[row["duplicate_of"]]["diseased"]
        ],
        "worst": [row["file"] for row in worst_errors(used)],
    }


def columns(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) each: labels of 0 and 1, raw and calibrated probabilities."""
    keys = ("diseased", "raw_probability", "probability")
    labels, raw, calibrated = (np.array([row[key] for row in rows]) for key in keys)
    return labels.astype(int), raw, calibrated


def worst_errors(used: Rows) -> Rows:
    """The images decided wrongly, first those whose probability leaves least for the true class."""
    wrong = [row for row in used if (row["decision"] == "healthy") == row["diseased"]]
    return sorted(wrong, key=lambda row: abs(row["diseased"] - row["probability"]), reverse=True)[
        :WORST
    ]
