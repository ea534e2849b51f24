"""Labelled images from elsewhere, and what a network says of each."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from chestflow.errors import UserError
from chestflow.models import inference
from chestflow.own_images import (
    listing,
    out_of_distribution,
    radiograph,
    released,
    validation_scores,
)
from chestflow.own_images.chosen_model import Asked
from chestflow.own_images.listing import Classes, Item
from chestflow.own_images.radiograph import shown

Pair = tuple[str, str]


@dataclass(frozen=True)
class Judged:
    """N images that could be read, in the order of their names."""

    items: list[Item]
    images: np.ndarray  # (N, side, side) uint8, prepared
    labels: np.ndarray  # (N,) of 0 and 1
    raw: np.ndarray  # (N,) probability of disease
    calibrated: np.ndarray  # (N,) likewise
    distances: np.ndarray  # (N,) squared, from the training images
    ranks: np.ndarray  # (N,) percent of validation images that are nearer
    overlap: np.ndarray  # (N,) whether it equals an image that training or validation saw
    groups: np.ndarray  # (N,) number of the patient, or of the image where none is known

    def __getitem__(self, chosen: np.ndarray) -> "Judged":
        """Those of the images for which `chosen`, (N,), is true."""
        items = [item for item, kept in zip(self.items, chosen) if kept]
        arrays = {name: value[chosen] for name, value in vars(self).items() if name != "items"}
        _, arrays["groups"] = np.unique(arrays["groups"], return_inverse=True)
        return Judged(items, **arrays)

    @property
    def used(self) -> "Judged":
        """The images that scores are about: those that training has not seen, if there are any."""
        return self if self.overlap.all() else self[~self.overlap]


def classes(items: list[Item], positive: list[str], disease: str) -> Classes:
    """As `pack` takes them. Of one class alone its name says whether it is diseased: --positive,
    or what the network calls disease."""
    names = sorted({label for item in items for label in item.labels})
    if len(names) != 1:
        return listing.classes_of(items, positive)
    if unknown := sorted(set(positive) - set(names)):
        raise UserError(f"positive: {shown(unknown[0])!r} is no class; accepted: {shown(names[0])}")
    if positive or names[0].lower() == disease.lower():
        return Classes((names[0],), (0,), False)
    if listing.is_healthy(names[0]):
        return Classes((names[0],), (), False)
    raise UserError(
        f"is the only class, {shown(names[0])}, diseased? Say so with --positive, or call it normal"
    )


def judge(items: list[Item], classes: Classes, model: Asked) -> tuple[Judged, list[dict]]:
    """What the network says of the images, and which files could not be read; that is said at once.

    Raises UserError if none could be.
    """
    unread: list[dict[str, str]] = []
    kept, prepared = [], []
    for item, image in read(items, model.run.side, unread):
        kept.append(item)
        prepared.append(image)
    if not kept:
        raise UserError(f"none of {len(items):,} files could be read, see above")
    images = np.stack(prepared)
    on_device = torch.from_numpy(images).to(next(model.run.classifier.parameters()).device)
    raw = inference.probabilities(model.run.classifier, on_device)
    distances, seen = model.unlikeness.measure(on_device), model.seen()
    judged = Judged(
        kept,
        images,
        np.array([classes.is_diseased(item) for item in kept], int),
        raw,
        model.run.calibrated(raw),
        distances,
        out_of_distribution.percentiles(distances, usual(model)),
        np.array([digest in seen for digest in released.hashes(images)]),
        validation_scores.clusters([item.patient for item in kept]),
    )
    return judged, unread


def usual(model: Asked) -> np.ndarray:
    """(V,) squared distances of the validation images from the training images, ascending."""
    return model.unlikeness.usual


def read(
    items: list[Item], side: int, unread: list[dict[str, str]]
) -> Iterator[tuple[Item, np.ndarray]]:
    """One after the other, so that one original at a time is in memory."""
    for item in tqdm(items, desc="validate", unit="image", disable=None):
        try:
            yield item, radiograph.prepare(radiograph.read(item.path).grey, side)
        except UserError as error:
            tqdm.write(f"validate: {error}", file=sys.stderr)
            unread.append({"file": item.name, "reason": str(error)})


def duplicates(judged: Judged) -> tuple[list[Pair], list[Pair]]:
    """Images that equal an earlier one once prepared, with its name, and those of them that are
    labelled otherwise."""
    first: dict[bytes, int] = {}
    pairs: list[Pair] = []
    contradictory: list[Pair] = []
    for i, digest in enumerate(released.hashes(judged.images)):
        if (twin := first.setdefault(digest, i)) != i:
            pair = (judged.items[i].name, judged.items[twin].name)
            pairs.append(pair)
            if judged.labels[i] != judged.labels[twin]:
                contradictory.append(pair)
    return pairs, contradictory


def worst(judged: Judged, threshold: float, most: int) -> list[int]:
    """Places of the images decided wrongly at the threshold of the raw probability, first those
    whose calibrated probability leaves least for the true class."""
    wrong = np.flatnonzero((judged.raw >= threshold) != judged.labels)
    left = np.abs(1 - judged.labels - judged.calibrated)[wrong]
    return [int(i) for i in wrong[np.argsort(left, kind="stable")][:most]]


def rows(judged: Judged, model: Asked) -> list[dict[str, Any]]:
    """All that is said of each image, for machines."""
    names = model.run.about.classes
    return [
        {
            "file": item.name,
            "label": "|".join(item.labels),
            "diseased": bool(judged.labels[i]),
            "patient": item.patient or None,
            "probability": float(judged.calibrated[i]),
            "raw_probability": float(judged.raw[i]),
            "decision": names[int(judged.raw[i] >= model.run.threshold)],
            "unlike": bool(judged.ranks[i] > out_of_distribution.LIMIT),
            "unlike_percentile": float(judged.ranks[i]),
            "overlap": bool(judged.overlap[i]),
        }
        for i, item in enumerate(judged.items)
    ]
