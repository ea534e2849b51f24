"""A trained run, named on the command line and ready for use on other films: its network, and what
validation has settled."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.lib import command, data, model, parameters, scores, tables
from stages.lib.errors import UserError

PLACES = {
    "params": "params.yaml",
    "weights": "models/{run}/model.safetensors",
    "films": "data/binary/{dataset}",
    "scores": "metrics/{run}.json",
}


@dataclass(frozen=True)
class Trained:
    run: str
    classifier: model.Classifier  # in evaluation mode
    films: Path  # folder of the films that it was trained on, as `data.read` reads it
    about: data.About  # those films
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
            about = f"{self.about.caption()}: synthetic films, which say nothing about patients"
        else:
            about = self.about.caption()
        return f"run {self.run}, trained on {about}; not for diagnosis"


def add_arguments(parser: argparse.ArgumentParser, **places: str) -> None:
    """The option --run, and one per place where dvc.yaml puts a file, or that is given here."""
    parser.add_argument("--run", default="pneumonia", help="run to ask (default: %(default)s)")
    group = parser.add_argument_group("where things lie")
    for name, place in (PLACES | places).items():
        group.add_argument(f"--{name}", type=Path, default=Path(place), help="%(default)s")


def load(options: argparse.Namespace, params: parameters.Params) -> Trained:
    """The run that the options of `add_arguments` name.

    Raises UserError, with the command that mends it, for an unknown run, a missing file, and files
    that are from different states of the workflow.
    """
    run = options.run
    dataset = parameters.entry(params.runs, run, "run").dataset
    weights, report = (command.at(path, run=run) for path in (options.weights, options.scores))
    films = command.at(options.films, dataset=dataset)
    require(weights, films / "about.json", report, mend=f"dvc repro evaluate@{run}")
    about, settled = data.read_about(films), tables.read_json(report)
    captions = {model.read(weights)[1].get("data"), settled["data"], about.caption()}
    if len(captions) > 1 or "calibration" not in settled:
        raise UserError(
            f"{weights}, {report} and {films} are from different states of the workflow; bring them"
            f" together: dvc repro evaluate@{run}"
        )
    return Trained(
        run,
        model.load_classifier(weights),
        films,
        about,
        data.read(films, "train").images.shape[-1],
        settled["at_val_threshold"]["threshold"],
        tuple(settled["calibration"]),
    )


def require(*paths: Path, mend: str) -> None:
    """Raise UserError, with the command that makes it, if one of the paths is missing."""
    for path in paths:
        if not path.exists():
            raise UserError(f"{path} is missing; make it: {mend} (or everything: make repro)")
