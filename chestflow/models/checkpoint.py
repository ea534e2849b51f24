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
    return sorted((folder / "trainings").iterdir(), key=lambda one: int(one.name))


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
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is damaged, or no network as safetensors ({reason})") from error


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
    """The networks of all trainings of a run, on a device, in evaluation mode."""
    networks = [load_classifier(one).to(here) for one in trainings(folder)]
    # twice as fast on a CPU
    return [network.to(memory_format=torch.channels_last) for network in networks]


def load(folder: Path, build) -> Any:
    """The network that `build` makes of the file's `about` and weights, with these weights, in
    evaluation mode. Raises UserError if the file holds another kind of network."""
    weights, about = read(folder)
    try:
        model = build(about, weights)
        model.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder / FILE} holds another network than expected ({reason})") from None
    return model.eval()


# ------------------------------------------------------------------- the start of a training


def load_encoder(model: nn.Module, weights: Weights) -> None:
    """Copy the `encoder.` part of other weights, batch-norm statistics included, into a model.

    No weights at all (the start called `scratch`) leave the model as it is.
    Raises UserError that names a key which is missing, unknown or of another shape.
    """
    if not weights:
        return
    given = {key: value for key, value in weights.items() if key.startswith("encoder.")}
    wanted = {key: v for key, v in model.state_dict().items() if key.startswith("encoder.")}
    keys = sorted(given.keys() | wanted.keys())
    mismatched = [key for key in keys if _shape(given.get(key)) != _shape(wanted.get(key))]
    if mismatched:
        key = mismatched[0]
        raise UserError(
            f"the starting weights do not fit in {len(mismatched)} of {len(wanted)} encoder"
            f" keys; {key}: given {_shape(given.get(key))}, accepted {_shape(wanted.get(key))};"
            " give both runs the same width and blocks"
        )
    model.load_state_dict(given, strict=False)


def _shape(value: Tensor | None) -> str:
    return "none" if value is None else f"{tuple(value.shape)}"


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


def contrast_mismatch(about: dict[str, Any], contrast: str) -> str | None:
    """A line that says so where a start's encoder was trained on images of another contrast than
    the run's; None where the contrast is the same, and for `scratch`.

    about: of the start, as `read` returns it; the autoencoder's names no contrast: it is global.
    """
    if not about:
        return None
    before = about["architecture"].get("contrast", "global")
    if before == contrast:
        return None
    start = f"run {about['run']}" if "run" in about else "the autoencoder"
    return (
        f"the encoder of {start} was trained with contrast = {before}, this run uses {contrast}:"
        " it has to adapt to other inputs"
    )
