"""A trained run, named on the command line and ready for use on other images: its network, and what
validation has settled."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chestflow.core import tables
from chestflow.core.errors import UserError
from chestflow.images import arrays, captions
from chestflow.measures import scores
from chestflow.network import checkpoint, model
from chestflow.parameters import reading, schema, stage

PLACES = {
    "params": "params.yaml",
    "datasets": "datasets.yaml",
    "weights": "models/{run}",
    "images": "data/binary/{dataset}",
    "scores": "metrics/runs/{run}.json",
}


@dataclass(frozen=True)
class Trained:
    run: str
    classifier: model.Classifier  # in evaluation mode
    images: Path  # folder of the images that it was trained on, as `arrays.read` reads it
    about: captions.About  # those images
    side: int  # their side, in pixels
    threshold: float  # of the raw probability, chosen on validation
    calibration: tuple[float, float]  # slope and intercept of Platt scaling, fitted there

    def calibrated(self, probability: np.ndarray) -> np.ndarray:
        return scores.calibrated(probability, *self.calibration)

    @property
    def calibrated_threshold(self) -> float:
        """The threshold on the scale of the calibrated probability."""
        return float(self.calibrated(np.array(self.threshold)))

    def notice(self) -> str:
        """What has to stand wherever an answer of the network does."""
        if self.about.is_phantom:
            about = f"{self.about.caption}: synthetic images, which say nothing about patients"
        else:
            about = self.about.caption
        return f"run {self.run}, trained on {about}; not for diagnosis"


def add_arguments(parser: argparse.ArgumentParser, **places: str) -> None:
    """The option --run, and one per place where dvc.yaml puts a file, or that is given here."""
    parser.add_argument("--run", default="pneumonia", help="run to ask (default: %(default)s)")
    group = parser.add_argument_group("where things lie")
    for name, place in (PLACES | places).items():
        group.add_argument(f"--{name}", type=Path, default=Path(place), help="%(default)s")


def load(options: argparse.Namespace, params: schema.Params) -> Trained:
    """The run that the options of `add_arguments` name.

    Raises UserError, with the command that mends it, for an unknown run, a missing file, and files
    that are from different states of the workflow.
    """
    run = options.run
    dataset = reading.entry(params.runs, run, "run").dataset
    weights, report = (stage.at(path, run=run) for path in (options.weights, options.scores))
    images = stage.at(options.images, dataset=dataset)
    require(
        weights / checkpoint.FILE, images / "origin.txt", report, mend=f"dvc repro evaluate@{run}"
    )
    declared, settled = reading.dataset(options.datasets, dataset), tables.read_json(report)
    about = captions.of_folder(images, declared.title, declared.positive)
    side = arrays.read(images, "train").images.shape[-1]
    known = {"dataset": dataset, "origin": arrays.origin(images), "side": side}
    record = checkpoint.read(weights)[1]
    same = all(record.get(key) == value for key, value in known.items())
    if not same or settled.get("data") != about.caption or "calibration" not in settled:
        raise UserError(
            f"{weights}, {report} and {images} are from different states of the workflow; bring"
            f" them together: dvc repro evaluate@{run}"
        )
    return Trained(
        run,
        checkpoint.load_classifier(weights),
        images,
        about,
        side,
        settled["at_val_threshold"]["threshold"],
        tuple(settled["calibration"]),
    )


def require(*paths: Path, mend: str) -> None:
    """Raise UserError, with the command that makes it, if one of the paths is missing."""
    for path in paths:
        if not path.exists():
            raise UserError(f"{path} is missing; make it: {mend} (or everything: make repro)")
