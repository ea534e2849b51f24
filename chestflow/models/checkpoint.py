"""Trained networks in files (safetensors, no pickles), and carrying an encoder over.

A model's folder holds `model.safetensors`, the representative one of several trainings, and under
`trainings/` each of them with the indices of the images whose labels it has seen.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as as_bytes
from torch import Tensor, nn

from chestflow.errors import UserError
from chestflow.models.cnn import Classifier

FILE = "model.safetensors"
Weights = dict[str, Tensor]


def training(folder: Path, k: int) -> Path:
    """Where training k of a run lies within the run's folder."""
    return folder / "trainings" / str(k)


def trainings(folder: Path) -> list[Path]:
    """The folders of a run's trainings, in their order."""
    return sorted((folder / "trainings").glob("[0-9]*"), key=lambda path: int(path.name))


def save(folder: Path, model: nn.Module, about: dict[str, Any]) -> None:
    """Write the weights into a model's folder, and `about` (JSON) with them: the same bytes for
    the same values."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.contiguous().cpu() for key, value in model.state_dict().items()}
    # One key only: safetensors does not keep the order of several.
    (folder / FILE).write_bytes(as_bytes(weights, {"about": json.dumps(about)}))


def read(folder: Path) -> tuple[Weights, dict[str, Any]]:
    """The weights and the `about` that `save` wrote; both empty for the start `scratch`.

    Raises UserError for a file that is damaged.
    """
    path = folder / FILE
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            return {key: file.get_tensor(key) for key in file.keys()}, about  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise UserError(f"{path} is damaged, or no safetensors ({_shortened(error)})") from error


def digest(folder: Path) -> str:
    """The first 12 hex digits of the SHA-256 of a model's file, which identify its training."""
    return hashlib.sha256((folder / FILE).read_bytes()).hexdigest()[:12]


def labelled(folder: Path) -> dict[str, np.ndarray]:
    """Indices of the images whose labels a training has seen, by split; folder: of a training."""
    indices = json.loads((folder / "labelled.json").read_text(encoding="utf-8"))
    return {split: np.array(index) for split, index in indices.items()}


def load_classifier(folder: Path) -> Classifier:
    """A trained classifier, in evaluation mode; UserError if the file holds another network."""
    return load(folder, lambda about, _: Classifier(**about["architecture"]))


def load_classifiers(folder: Path, here: torch.device) -> list[Classifier]:
    """The networks of all trainings of a run, on the device, in evaluation mode."""
    models = [load_classifier(one).to(here) for one in trainings(folder)]
    # channels_last is twice as fast on a CPU
    return [model.to(memory_format=torch.channels_last) for model in models]


def load(folder: Path, build) -> Any:
    """The network that `build` makes of the file's `about` and weights, with these weights, in
    evaluation mode. Raises UserError if the file holds another kind of network."""
    weights, about = read(folder)
    try:
        model = build(about, weights)
        model.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError) as error:
        reason = _shortened(error)
        raise UserError(f"{folder / FILE} holds another network than expected ({reason})") from None
    return model.eval()


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


# ------------------------------------------------------------------- the start of a training


def load_encoder(model: nn.Module, weights: Weights) -> None:
    """Copy the encoder of another network, batch-norm statistics included, into a model.

    No weights at all (the start called `scratch`) leave the model as it is.
    Raises UserError for an encoder of another architecture.
    """
    encoder = {
        key.removeprefix("encoder."): value
        for key, value in weights.items()
        if key.startswith("encoder.")
    }
    if not encoder:
        return
    try:
        model.encoder.load_state_dict(encoder)  # type: ignore[union-attr, operator]
    except RuntimeError as error:
        raise UserError(
            f"the encoder to start from does not fit ({_shortened(error)}); give both runs the same"
            " width and blocks"
        ) from None


def read_start(folder: Path, k: int) -> tuple[Weights, dict[str, Any]]:
    """What training k starts from: training k of the start; both empty for `scratch`."""
    weights, about = read(folder)
    return read(training(folder, k)) if weights else (weights, about)


def load_start(folder: Path, k: int) -> Classifier | None:
    """A classifier with the encoder that training k of a run started from, the autoencoder's
    included, and an untrained head, in evaluation mode; None for `scratch`."""
    weights, about = read_start(folder, k)
    if not weights:
        return None
    model = Classifier(**about["architecture"])
    load_encoder(model, weights)
    return model.eval()
