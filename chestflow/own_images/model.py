"""The network for a user's images: the released one, or a run trained here."""

import argparse
import hashlib
from dataclasses import asdict, dataclass
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
from chestflow.metrics import calibration, prevalence
from chestflow.models import checkpoint, cnn, device, inference
from chestflow.own_images import out_of_distribution
from chestflow.own_images.out_of_distribution import Reference

RELEASED = Path("released/pneumonia")
SCORES, STATISTICS = "scores.json", "reference_statistics.safetensors"
REFERENCE_IMAGES = 5000  # training images, at most, to which distances are measured


@dataclass(frozen=True)
class Model:
    """A trained network with its record: what validation chose, and how it scored."""

    run: str
    side: int  # of the images that it was trained on, in pixels
    classifier: cnn.Classifier  # in evaluation mode, on the device
    report: dict  # scores.json
    layer: str  # for GradCAM
    images: Path | None  # of training; None for the released model
    share: float  # of disease, among the images that calibrated probabilities refer to

    @property
    def about(self) -> captions.About:
        """Caption and class names of the images that it was trained on."""
        return captions.of_report(self.report)

    @property
    def notice(self) -> str:
        """The note that goes with every prediction."""
        trained_on = self.about.caption
        if self.about.is_phantom:
            trained_on += ": synthetic images, which say nothing about patients"
        name = f"run {self.run}" if self.images else "released model"
        return f"{name}, trained on {trained_on}; not for diagnosis"

    @property
    def raw_threshold(self) -> float:
        """Of the probability before calibration, chosen on validation."""
        return self.report["at_val_threshold"]["threshold"]

    @property
    def threshold(self) -> float:
        """The same of the calibrated probability."""
        return float(self.calibrated(np.array(self.raw_threshold)))

    def calibrated(self, probability: np.ndarray) -> np.ndarray:
        """After Platt scaling, as fitted on validation, and moved to `share`."""
        scaled = calibration.calibrated(probability, *self.report["calibration"])
        return prevalence.shifted(scaled, self.report["share"], self.share)

    @cached_property
    def reference(self) -> Reference:
        """The training and validation images to which others are compared."""
        if self.images is None:
            stored = load_file(RELEASED / STATISTICS)
            return Reference(*(stored[name] for name in ("mean", "precision", "distances")))
        train, val = (arrays.read(self.images, split).images for split in ("train", "val"))
        chosen = np.sort(np.random.default_rng(0).permutation(len(train))[:REFERENCE_IMAGES])
        return out_of_distribution.fit(self.statistics(train[chosen]), self.statistics(val))

    @cached_property
    def known_hashes(self) -> np.ndarray:
        """`hashes` of the images that it was trained on, validation included."""
        if self.images is None:
            return load_file(RELEASED / STATISTICS)["hashes"].view(np.uint64).ravel()
        splits = [arrays.read(self.images, split) for split in ("train", "val")]
        return np.sort(np.concatenate([hashes(split.images) for split in splits]))

    def on_device(self, images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(images)).to(next(self.classifier.parameters()).device)

    def statistics(self, images: np.ndarray) -> np.ndarray:
        return out_of_distribution.statistics(self.classifier, self.on_device(images))

    def answers(self, images: np.ndarray) -> list[dict[str, Any]]:
        """A row for each of (N, side, side) uint8 images; `probability` is calibrated."""
        raw = inference.probabilities(self.classifier, self.on_device(images))
        probability = self.calibrated(raw)
        percentiles = self.reference.percentiles(self.statistics(images))
        return [
            {
                "probability": float(probability[i]),
                "raw_probability": float(raw[i]),
                "decision": self.about.classes[int(raw[i] >= self.raw_threshold)],
                "out_of_distribution": bool(percentiles[i] > out_of_distribution.LIMIT),
                "out_of_distribution_percentile": float(percentiles[i]),
            }
            for i in range(len(images))
        ]

    def heat(self, images: np.ndarray) -> np.ndarray:
        """(N, h, h) from 0 to 1: GradCAM of disease."""
        return gradcam.grad_cams(self.classifier, self.layer, self.on_device(images), target=1)


def add_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", help="use this run, trained here, instead of the released model")


def load(run: str | None, params: Params) -> Model:
    """A run trained here, or else the released model. Raises UserError, with what to do, where it
    is not there or its scores are of other weights."""
    if run is None:
        folder, scores, images = RELEASED, RELEASED / SCORES, None
        needed, make = [RELEASED / STATISTICS], f"restore it: git checkout {RELEASED}"
    else:
        folder, scores = Path("models", run), Path("data/results", run, SCORES)
        images = Path("data/binary", reading.entry(params.runs, run, "run").dataset)
        needed, make = [images / "train_images.npy"], f"make it: dvc repro evaluate@{run}"
    for path in (folder / checkpoint.FILE, scores, *needed):
        if not path.is_file():
            raise UserError(f"{path} is missing; {make}")
    report, weights = files.read_json(scores), checkpoint.digest(folder)
    if report["weights"] != weights:
        raise UserError(f"{scores} is of weights {report['weights']}, not of {weights}; {make}")
    classifier = checkpoint.load_classifier(folder).to(device.prepare(params.threads))
    about, layer = checkpoint.read(folder)[1], params.gradcam.layer if run else "last"
    if images and about["origin"] != arrays.origin(images):
        raise UserError(f"{folder} was not trained on the present {images}; {make}")
    return Model(about["run"], about["side"], classifier, report, layer, images, report["share"])


def hashes(images: np.ndarray) -> np.ndarray:
    """(N,) uint64 of (N, H, W) uint8 images: the first bytes of the SHA-256 of each, which are
    equal for equal images only."""
    digests = [hashlib.sha256(image.tobytes()).digest()[:8] for image in images]
    return np.frombuffer(b"".join(digests), np.uint64)


def write(out: Path, network: Model) -> None:
    """Write a run trained here as the folder of a released model: weights, scores, and the
    statistics and hashes of the images that it was trained on, but none of these images."""
    out.mkdir(parents=True, exist_ok=True)
    weights = Path("models", network.run, checkpoint.FILE)
    (out / checkpoint.FILE).write_bytes(weights.read_bytes())
    files.write_json(out / SCORES, network.report)
    stored = {name: value.astype(np.float32) for name, value in asdict(network.reference).items()}
    save_file(stored | {"hashes": network.known_hashes}, out / STATISTICS)
