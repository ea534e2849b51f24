"""Trained parameters in files (safetensors, no pickles), and carrying an encoder over."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from chestflow.core.errors import UserError
from chestflow.network.model import Classifier

FILE = "model.safetensors"  # of a model's folder


def load_encoder(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy the `encoder.` part of other weights, batch-norm statistics included, into a model.

    No weights at all (the start called `scratch`) leave the model as it is.
    Raises UserError that names the keys which are missing, unknown or of another shape.
    """
    given = {key: value for key, value in weights.items() if key.startswith("encoder.")}
    wanted = {key: v for key, v in model.state_dict().items() if key.startswith("encoder.")}
    if not weights:
        return
    if unlike := sorted(
        key
        for key in given.keys() | wanted.keys()
        if _shape(given.get(key)) != _shape(wanted.get(key))
    ):
        key = unlike[0]
        raise UserError(
            f"the starting weights do not fit the network in {len(unlike)} of {len(wanted)} encoder"
            f" keys; {key}: given {_shape(given.get(key))}, accepted {_shape(wanted.get(key))};"
            " give both runs the same width and blocks"
        )
    model.load_state_dict(given, strict=False)


def _shape(value: Tensor | None) -> str:
    return "none" if value is None else f"{tuple(value.shape)}"


def save(folder: Path, model: nn.Module, about: dict) -> None:
    """Write the weights into a model's folder, and `about` (JSON) with them, as safetensors: no
    pickle, and the same bytes for the same values."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.contiguous().cpu() for key, value in model.state_dict().items()}
    # One key only: safetensors does not keep the order of several.
    save_file(weights, folder / FILE, {"about": json.dumps(about)})


def read(folder: Path) -> tuple[dict[str, Tensor], dict]:
    """The weights and the `about` that `save` wrote; both empty for an empty start."""
    with safe_open(folder / FILE, framework="pt") as file:
        about = json.loads((file.metadata() or {}).get("about", "{}"))
        return {key: file.get_tensor(key) for key in file.keys()}, about  # noqa: SIM118


def load_classifier(folder: Path) -> Classifier:
    """The trained classifier of a run, in evaluation mode."""
    weights, about = read(folder)
    model = Classifier(**about["architecture"])
    model.load_state_dict(weights)
    return model.eval()


def load_start(folder: Path) -> Classifier | None:
    """A classifier with the encoder that a run started from, the autoencoder's included, and an
    untrained head, in evaluation mode; None for the empty start."""
    weights, about = read(folder)
    if not weights:
        return None
    model = Classifier(**about["architecture"])
    load_encoder(model, weights)
    return model.eval()
