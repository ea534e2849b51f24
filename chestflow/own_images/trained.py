"""A trained run, named on the command line and ready for use on other images: its network, and what
validation has settled."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chestflow import files
from chestflow.config import reading, schema
from chestflow.data import arrays, captions
from chestflow.errors import UserError
from chestflow.metrics import prevalence, scores
from chestflow.models import checkpoint, cnn

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
    classifier: cnn.Classifier  # in evaluation mode
    about: captions.About  # the images that it was trained on
    side: int  # their side, in pixels
    threshold: float  # of the raw probability, chosen on validation
    calibration: tuple[float, float]  # slope and intercept of Platt scaling, fitted there
    share: float  # of disease, among the images that calibrated probabilities refer to
    is_released: bool = False  # rather than trained here

    def calibrated(self, probability: np.ndarray) -> np.ndarray:
        return scores.calibrated(probability, *self.calibration)

    @property
    def calibrated_threshold(self) -> float:
        """The threshold on the scale of the calibrated probability."""
        return float(self.calibrated(np.array(self.threshold)))

    def at_share(self, probability: np.ndarray, share: float | None) -> np.ndarray:
        """Calibrated probabilities where `share` of the images are diseased; None: as they are."""
        if share is None:
            return probability
        return np.asarray(prevalence.shifted(probability, self.share, share))

    def notice(self) -> str:
        """What has to stand wherever an answer of the network does."""
        if self.about.is_phantom:
            about = f"{self.about.caption}: synthetic images, which say nothing about patients"
        else:
            about = self.about.caption
        which = "released model" if self.is_released else f"run {self.run}"
        return f"{which}, trained on {about}; not for diagnosis"


def at(pattern: Path, **names: str) -> Path:
    """The path that a pattern such as `metrics/runs/{run}.json` stands for."""
    filled = str(pattern)
    for name, value in names.items():
        filled = filled.replace(f"{{{name}}}", value)  # not format(): a folder may be called {b}
    return Path(filled)


def add_places(parser: argparse.ArgumentParser, **places: str) -> None:
    """An option per place where dvc.yaml puts a file, or that is given here."""
    group = parser.add_argument_group("where things lie")
    for name, place in (PLACES | places).items():
        group.add_argument(f"--{name}", type=Path, default=Path(place), help="%(default)s")


def load(options: argparse.Namespace, params: schema.Params) -> Trained:
    """The run that --run and the options of `add_places` name.

    Raises UserError, with the command that mends it, for an unknown run, a missing file, and files
    that are from different states of the workflow.
    """
    run, images = options.run, images_of(options, params)
    dataset = params.runs[run].dataset
    weights, report = (at(path, run=run) for path in (options.weights, options.scores))
    mend = f"dvc repro evaluate@{run}"
    files = [images / f"{split}_images.npy" for split in arrays.SPLITS]
    require(weights / checkpoint.FILE, images / "origin.txt", *files, report, mend=mend)
    with mended_by(mend):
        classifier, record = checkpoint.load_classifier(weights), checkpoint.read(weights)[1]
        settled, (about, side) = metrics(report, run), usual(images, options.datasets, dataset)
        known = {"run": run, "dataset": dataset, "origin": arrays.origin(images), "side": side}
        unlike = [f"{key} {record.get(key)}" for key in known if record.get(key) != known[key]]
        of = settled.get("weights", "weights it does not name")
        if unlike or settled.get("data") != about.caption or of != checkpoint.digest(weights):
            held = ", ".join(unlike) or f"weights {checkpoint.digest(weights)}"
            raise UserError(
                f"{weights} ({held}), {report} (of {of}) and {images} are from different states of"
                f" the workflow; expected: all of run {run}"
            )
        return settle(run, classifier, about, side, settled, report)


def images_of(options: argparse.Namespace, params: schema.Params) -> Path:
    """The folder of the images that a run was trained on, as `arrays.read` reads it."""
    return at(options.images, dataset=reading.entry(params.runs, options.run, "run").dataset)


def settle(
    run: str, classifier: cnn.Classifier, about: captions.About, side: int, found: dict, of: Path
) -> Trained:
    """A classifier with what validation has settled; found: its metrics file, which lies at `of`,
    as `metrics` returns it."""
    share = prevalence.check(f"{of}: share", found["share"])
    threshold, calibration = found["at_val_threshold"]["threshold"], tuple(found["calibration"])
    return Trained(run, classifier, about, side, threshold, calibration, share)


def metrics(report: Path, run: str) -> dict:
    """The metrics file of a run; UserError if it is damaged, or lacks what validation settled."""
    try:
        found = files.read_json(report)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{report} is damaged, or no JSON ({error})") from error
    held = found if isinstance(found, dict) else {}
    at, both = held.get("at_val_threshold"), held.get("calibration")
    values = [at.get("threshold") if isinstance(at, dict) else None]
    values += both if isinstance(both, list) else []
    values += [held.get("share")]
    # Compared so that no number at all (NaN) fails as well.
    if not all(isinstance(v, int | float) and -1e9 < v < 1e9 for v in values) or len(values) != 4:
        raise UserError(
            f"{report} holds no threshold with a calibration; expected: the metrics file of run"
            f" {run}, with at_val_threshold.threshold, calibration and share as numbers"
        )
    return held


def usual(images: Path, datasets: Path, dataset: str) -> tuple[captions.About, int]:
    """What the images in a folder are called, and their side in pixels."""
    declared = reading.dataset(datasets, dataset)
    try:
        about = captions.of_folder(images, declared.title, declared.positive)
        return about, arrays.read(images, "train").images.shape[-1]
    except (ValueError, EOFError) as error:  # of numpy, for an array cut off
        raise UserError(f"{images} is damaged ({error})") from error


def require(*paths: Path, mend: str) -> None:
    """Raise UserError, with the command that makes it, if one of the paths is no file."""
    for path in paths:
        if path.parent.is_file():
            raise UserError(f"{path.parent} is a file; expected: the folder of {path.name}")
        if not path.is_file():
            what = "is no file" if path.exists() else "is missing"
            raise UserError(f"{path} {what}; make it: {mend} (or everything: make repro)")


@contextmanager
def mended_by(command: str) -> Iterator[None]:
    """Around the reading of what the workflow has made: its mistakes name the remedy."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{error}; make it anew: {command}") from error
