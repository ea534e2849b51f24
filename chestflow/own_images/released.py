"""A trained run in a folder of its own, to be given away: its weights, its scores, and what is
usual among the images that it was trained on, but none of these images."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as as_bytes

from chestflow import files
from chestflow.data import captions
from chestflow.errors import UserError
from chestflow.models import checkpoint, cnn
from chestflow.own_images import out_of_distribution, trained

FOLDER = Path("released/pneumonia")
SCORES, USUAL = "scores.json", "usual.safetensors"
BYTES = 8  # of an image's hash: enough to tell some thousands of images apart
MEND = f"git checkout HEAD {FOLDER} brings back this repository's; --run asks one trained here"


def load(
    folder: Path, here: torch.device
) -> tuple[trained.Trained, out_of_distribution.Unlikeness, set]:
    """The run on a device, what is usual among its images, and the hashes of these images.

    Raises UserError, with what to do, for files that are missing, damaged or of two trainings.
    """
    report = folder / SCORES
    for path in (folder / checkpoint.FILE, report, folder / USUAL):
        if not path.is_file():
            raise UserError(f"{path} is missing; {MEND}")
    try:
        classifier, about = checkpoint.load_classifier(folder), checkpoint.read(folder)[1]
        run = str(about.get("run"))
        found = trained.metrics(report, run)
        if found.get("weights") != (digest := checkpoint.digest(folder)):
            of = found.get("weights")
            raise UserError(f"{report} is of weights {of}, {folder / checkpoint.FILE} {digest}")
        name, side = captions.of_report(found), int(about["side"])
        known = trained.settle(run, classifier.to(here), name, side, found, report)
        return replace(known, is_released=True), *usual(folder / USUAL, classifier, digest)
    except (UserError, KeyError) as error:
        raise UserError(f"{error}; {MEND}") from error


def usual(path: Path, classifier: cnn.Classifier, weights: str) -> tuple:
    """What is usual, and the hashes, as `write` wrote them; UserError for another file, or one of
    other weights."""
    try:
        with safe_open(path, framework="np") as file:
            of = (file.metadata() or {}).get("weights")
            found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if of != weights:
            raise UserError(f"{path} is of weights {of}, {checkpoint.FILE} is {weights}")
        kept = (found[name].astype(np.float64) for name in ("mean", "precision", "distances"))
        unlikeness = out_of_distribution.Unlikeness(classifier, *kept)
        return unlikeness, {row.tobytes() for row in found["hashes"]}
    except (SafetensorError, KeyError) as error:
        said = " ".join(str(error).split())
        raise UserError(f"{path} is damaged, or another file ({said})") from error


def write(
    folder: Path, weights: Path, scores: dict, unlikeness: out_of_distribution.Unlikeness, seen: set
):
    """Write the three files that `load` reads; weights: folder of the model; scores: its metrics
    file; seen: the hashes of the images that it was trained on."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / checkpoint.FILE).write_bytes((weights / checkpoint.FILE).read_bytes())
    files.write_json(folder / SCORES, scores)
    hashes = np.frombuffer(b"".join(sorted(seen)), np.uint8).reshape(-1, BYTES)
    kept = {"mean": unlikeness.mean, "precision": unlikeness.precision}
    kept |= {"distances": unlikeness.usual}
    single = {name: values.astype(np.float32) for name, values in kept.items()}
    of = {"weights": checkpoint.digest(folder)}
    (folder / USUAL).write_bytes(as_bytes(single | {"hashes": hashes}, of))


def hashes(images: np.ndarray) -> list[bytes]:
    """Of each of (N, H, W) uint8 images, BYTES of its SHA-256: equal for equal images only."""
    return [hashlib.sha256(each.tobytes()).digest()[:BYTES] for each in images]
