"""Trained parameters in files (safetensors, no pickles), and carrying an encoder over."""

import hashlib
import json
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as as_bytes
from torch import Tensor, nn

from chestflow.errors import UserError
from chestflow.models.cnn import Classifier

FILE = "model.safetensors"  # of a model's folder: of several trainings, the one that is shown
Network = TypeVar("Network", bound=nn.Module)
KINDS = {"head.weight": "a classifier", "squeeze.1.weight": "an autoencoder"}  # by a key of theirs


def load_encoder(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy the `encoder.` part of other weights, batch-norm statistics included, into a model.

    No weights at all (the start called `scratch`) leave the model as it is.
    Raises UserError that names the keys which are missing, unknown or of another shape.
    """
    given = {key: value for key, value in weights.items() if key.startswith("encoder.")}
    wanted = {key: v for key, v in model.state_dict().items() if key.startswith("encoder.")}
    if not weights:
        return
    if mismatched := _mismatched_keys(given, wanted):
        key = mismatched[0]
        raise UserError(
            f"the starting weights do not fit in {len(mismatched)} of {len(wanted)} encoder"
            f" keys; {key}: given {_shape(given.get(key))}, accepted {_shape(wanted.get(key))};"
            " give both runs the same width and blocks"
        )
    model.load_state_dict(given, strict=False)


def _mismatched_keys(given: dict[str, Tensor], wanted: dict[str, Tensor]) -> list[str]:
    """The keys that are missing, unknown or of another shape."""
    keys = sorted(given.keys() | wanted.keys())
    return [key for key in keys if _shape(given.get(key)) != _shape(wanted.get(key))]


def _shape(value: Tensor | None) -> str:
    return "none" if value is None else f"{tuple(value.shape)}"


def save(folder: Path, model: nn.Module, about: dict) -> None:
    """Write the weights into a model's folder, and `about` (JSON) with them, as safetensors: no
    pickle, and the same bytes for the same values."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.contiguous().cpu() for key, value in model.state_dict().items()}
    # One key only: safetensors does not keep the order of several.
    (folder / FILE).write_bytes(as_bytes(weights, {"about": json.dumps(about)}))


def read(folder: Path) -> tuple[dict[str, Tensor], dict]:
    """The weights and the `about` that `save` wrote; both empty for an empty start.

    Raises UserError for a file that `save` cannot have written.
    """
    path = folder / FILE
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if not isinstance(about, dict):
            raise ValueError(f"it says of itself only {about}")
    except (SafetensorError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise UserError(f"{path} is damaged, or no network as safetensors ({said})") from error
    return weights, about


def digest(folder: Path) -> str:
    """The first 12 hex digits of the SHA-256 of a model's file: which training it is of."""
    return hashlib.sha256((folder / FILE).read_bytes()).hexdigest()[:12]


def contrast_mismatch(about: dict, contrast: str) -> str | None:
    """A line that says so where a start's encoder was trained on images of another contrast than
    the run's; None where the contrast is the same, and for the empty start.

    about: of the start, as `read` returns it; the autoencoder's names no contrast: it is global.
    """
    if not about:
        return None
    before = about.get("architecture", {}).get("contrast", "global")
    if before == contrast:
        return None
    start = f"run {about['run']}" if "run" in about else "the autoencoder"
    return (
        f"the encoder of {start} was trained with contrast = {before}, this run uses {contrast}:"
        " it has to adapt to other inputs"
    )


def training(folder: Path, k: int) -> Path:
    """Where training k of a run lies within the run's folder."""
    return folder / "trainings" / str(k)


def labelled(folder: Path) -> dict[str, np.ndarray]:
    """Indices of the images whose labels a training has seen, by split; folder: of a training."""
    found = json.loads((folder / "labelled.json").read_text(encoding="utf-8"))
    return {split: np.array(index) for split, index in found.items()}


def read_start(folder: Path, k: int) -> tuple[dict[str, Tensor], dict]:
    """What training k starts from: training k of the start; both empty for an empty start."""
    weights, about = read(folder)
    return read(training(folder, k)) if weights else (weights, about)


def load_classifier(folder: Path) -> Classifier:
    """The trained classifier of a run, in evaluation mode; UserError if the folder holds none."""
    weights, about = read(folder)
    return fill(Classifier(**architecture(folder, "a classifier", weights, about)), weights, folder)


def architecture(folder: Path, kind: str, weights: dict[str, Tensor], about: dict) -> dict:
    """The arguments that rebuild a network of one of the KINDS.

    Raises UserError if the file holds another kind, or weights of another shape than it says: an
    architecture that nobody has compared with its weights could take any amount of memory.
    """
    found = next((kind for key, kind in KINDS.items() if key in weights), "no network of a run")
    if found != kind:
        raise UserError(f"{folder / FILE} holds {found}; expected: {kind}")
    blocks = [value for key, value in weights.items() if key.endswith("conv1.weight")]
    width = next((len(value) for value in blocks if value.ndim == 4 and value.shape[1] == 1), 0)
    shape, said = {"width": width, "blocks": len(blocks)}, about.get("architecture")
    if not isinstance(said, dict) or said | shape != said:
        raise UserError(f"{folder / FILE} says {said} of its network, but its weights are {shape}")
    return said | shape


def fill(model: Network, weights: dict[str, Tensor], folder: Path) -> Network:
    """The model with these weights, which are all of its own, in evaluation mode."""
    wanted = model.state_dict()
    if mismatched := _mismatched_keys(weights, wanted):
        key = mismatched[0]
        raise UserError(
            f"{folder / FILE} does not fit the network that it names in {len(mismatched)} of"
            f" {len(wanted)} keys; {key}: given {_shape(weights.get(key))}, accepted"
            f" {_shape(wanted.get(key))}"
        )
    if not all(value.isfinite().all() for value in weights.values()):
        raise UserError(f"{folder / FILE} holds weights that are no numbers")
    model.load_state_dict(weights)
    return model.eval()


def load_start(folder: Path, k: int) -> Classifier | None:
    """A classifier with the encoder that training k of a run started from, the autoencoder's
    included, and an untrained head, in evaluation mode; None for the empty start."""
    weights, about = read_start(folder, k)
    if not weights:
        return None
    model = Classifier(**about["architecture"])
    load_encoder(model, weights)
    return model.eval()
