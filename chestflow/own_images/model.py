"""The model for a user's images: the released one, or a run trained here."""

import argparse
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from chestflow import files
from chestflow.config import reading
from chestflow.config.schema import Params
from chestflow.data import arrays, captions
from chestflow.errors import UserError
from chestflow.explain import gradcam
from chestflow.metrics import calibration
from chestflow.models import checkpoint, cnn, device, inference
from chestflow.own_images import out_of_distribution
from chestflow.own_images.out_of_distribution import Reference

RELEASED = Path("released/pneumonia")
SCORES, STATISTICS = "scores.json", "reference_statistics.safetensors"
MEASURED = ("mean", "precision", "distances")  # of the reference, in the order of its fields
REFERENCE_IMAGES = 5000  # training images, at most, to which distances are measured
HASH_BYTES = 8  # enough to tell some thousands of images apart


@dataclass(frozen=True)
class Model:
    """A trained network with its record: what validation chose, and how it scored."""

    run: str
    classifier: cnn.Classifier  # in evaluation mode, on the device
    side: int  # of the images that it was trained on, in pixels
    report: dict  # scores.json
    layer: str = "last"  # for GradCAM
    images: Path | None = None  # of training; None for the released model

    @property
    def about(self) -> captions.About:
        """Caption and class names of the images that it was trained on."""
        return captions.of_report(self.report)

    @property
    def threshold(self) -> float:
        """Of the raw probability, chosen on validation."""
        return self.report["at_val_threshold"]["threshold"]

    @property
    def share(self) -> float:
        """Of disease, among the images that calibrated probabilities refer to."""
        return self.report["share"]

    def calibrated(self, probability: np.ndarray) -> np.ndarray:
        """After Platt scaling, as fitted on validation."""
        return calibration.calibrated(probability, *self.report["calibration"])

    @property
    def calibrated_threshold(self) -> float:
        return float(self.calibrated(np.array(self.threshold)))

    def trained_on(self, split: str) -> np.ndarray:
        """(N, side, side) uint8 images, train or val, of a run trained here."""
        assert self.images is not None, "the released model comes without them"
        return arrays.read(self.images, split).images

    @cached_property
    def reference(self) -> Reference:
        """The training and validation images to which others are compared."""
        if self.images is None:
            stored = load_file(RELEASED / STATISTICS)
            return Reference(self.classifier, *(stored[name].astype(float) for name in MEASURED))
        train, val = self.trained_on("train"), self.trained_on("val")
        chosen = np.random.default_rng(0).permutation(len(train))[:REFERENCE_IMAGES]
        return out_of_distribution.fit(
            self.classifier, self.on_device(train[np.sort(chosen)]), self.on_device(val)
        )

    @cached_property
    def known_images(self) -> set[bytes]:
        """The hashes of the images that it was trained on, validation included."""
        if self.images is None:
            return {row.tobytes() for row in load_file(RELEASED / STATISTICS)["hashes"]}
        return {*hashes(self.trained_on("train")), *hashes(self.trained_on("val"))}

    def on_device(self, images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(images)).to(next(self.classifier.parameters()).device)

    def answers(self, images: np.ndarray) -> list[dict[str, Any]]:
        """A row for each of (N, side, side) uint8 images; `probability` is calibrated."""
        on_device = self.on_device(images)
        raw = inference.probabilities(self.classifier, on_device)
        probability = self.calibrated(raw)
        distances = self.reference.measure(on_device)
        percentiles = self.reference.percentiles(distances)
        return [
            {
                "probability": float(probability[i]),
                "raw_probability": float(raw[i]),
                "decision": self.about.classes[int(raw[i] >= self.threshold)],
                "out_of_distribution": bool(percentiles[i] > out_of_distribution.LIMIT),
                "out_of_distribution_percentile": float(percentiles[i]),
                "distance": float(distances[i]),
            }
            for i in range(len(images))
        ]

    def heat(self, images: np.ndarray) -> np.ndarray:
        """(N, h, h) from 0 to 1: GradCAM of disease."""
        return gradcam.grad_cams(self.classifier, self.layer, self.on_device(images), target=1)

    def notice(self) -> str:
        """The note that goes with every prediction."""
        trained_on = self.about.caption
        if self.about.is_phantom:
            trained_on += ": synthetic images, which say nothing about patients"
        name = f"run {self.run}" if self.images else "released model"
        return f"{name}, trained on {trained_on}; not for diagnosis"


def add_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", help="ask this run, trained here, instead of the released model")


def load(run: str | None, params: Params) -> Model:
    """A run trained here, or the released model; UserError, with what to do, if it is not there."""
    here = device.prepare(params.threads)
    return load_released(RELEASED, here) if run is None else load_run(run, params, here)


def load_released(folder: Path, here: torch.device) -> Model:
    about = checkpoint.read(folder)[1]
    classifier = checkpoint.load_classifier(folder).to(here)
    report = _report(folder / SCORES, folder)
    return Model(about["run"], classifier, about["side"], report)


def load_run(run: str, params: Params, here: torch.device) -> Model:
    dataset = reading.entry(params.runs, run, "run").dataset
    folder, report = Path("models", run), Path("data/results", run, SCORES)
    images, make = Path("data/binary", dataset), f"make it: dvc repro evaluate@{run}"
    for path in (folder / checkpoint.FILE, report, images / "train_images.npy"):
        if not path.is_file():
            raise UserError(f"{path} is missing; {make} (or everything: make repro)")
    about = checkpoint.read(folder)[1]
    side = arrays.read(images, "train").images.shape[-1]
    if (about["origin"], about["side"]) != (arrays.origin(images), side):
        raise UserError(f"{folder} was not trained on the present {images}; {make}")
    return Model(
        run,
        checkpoint.load_classifier(folder).to(here),
        side,
        _report(report, folder),
        params.gradcam.layer,
        images,
    )


def _report(path: Path, folder: Path) -> dict:
    """The record; UserError where it is of other weights than those in the folder."""
    report, weights = files.read_json(path), checkpoint.digest(folder)
    if report["weights"] != weights:
        raise UserError(
            f"{path} is of weights {report['weights']}, {folder} holds {weights}; make both anew,"
            " or restore them: git checkout, dvc checkout"
        )
    return report


def hashes(images: np.ndarray) -> list[bytes]:
    """HASH_BYTES of the SHA-256 of each of (N, H, W) uint8 images: equal for equal images only."""
    return [hashlib.sha256(each.tobytes()).digest()[:HASH_BYTES] for each in images]


def write(out: Path, network: Model) -> None:
    """Write a run trained here as a folder that `load_released` reads: weights, scores, and the
    statistics and hashes of the images that it was trained on, but none of these images."""
    out.mkdir(parents=True, exist_ok=True)
    weights = Path("models", network.run, checkpoint.FILE)
    (out / checkpoint.FILE).write_bytes(weights.read_bytes())
    files.write_json(out / SCORES, network.report)
    stored = {name: getattr(network.reference, name).astype(np.float32) for name in MEASURED}
    known = b"".join(sorted(network.known_images))
    stored["hashes"] = np.frombuffer(known, np.uint8).reshape(-1, HASH_BYTES)
    save_file(stored, out / STATISTICS, {"weights": checkpoint.digest(out)})
