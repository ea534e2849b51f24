"""The network: a small convolutional encoder, its classifier, and loading one into another."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from stages.lib.errors import UserError

WINDOW = 11 / 28  # of the side length: over which local contrast is taken
FLOOR = 0.1  # of its standard deviation, in units of [-1, 1]: flatter parts are not blown up


class ConvBlock(nn.Sequential):
    """(3 x 3 convolution, batch norm, leaky ReLU) twice, with 2 x 2 max-pooling in front of the
    last ReLU: that keeps the order of values, so the result is the same and a quarter of the work.

    The first convolution raises the number of maps, the second keeps it. The convolutions have no
    bias: batch norm would subtract it again. (N, C, H, W) -> (N, C', H // 2, W // 2).
    """

    def __init__(self, maps_in: int, maps_out: int) -> None:
        super().__init__()
        for i, maps in enumerate((maps_in, maps_out), start=1):
            self.add_module(f"conv{i}", nn.Conv2d(maps, maps_out, 3, padding=1, bias=False))
            self.add_module(f"norm{i}", nn.BatchNorm2d(maps_out))
            if i == 2:
                self.pool = nn.MaxPool2d(2)
            self.add_module(f"relu{i}", nn.LeakyReLU(inplace=True))


class Encoder(nn.Sequential):
    """The convolutional part, shared by the classifier and the autoencoder: `blocks` ConvBlocks of
    width, 2 width, 4 width ... maps. (N, 1, H, W) -> (N, maps, H / 2^blocks, W / 2^blocks)."""

    def __init__(self, width: int = 8, blocks: int = 3) -> None:
        widths = [1, *(width * 2**i for i in range(blocks))]
        super().__init__(*map(ConvBlock, widths[:-1], widths[1:]))
        self.maps = widths[-1]


class Classifier(nn.Module):
    """Encoder, average pooling to one vector per film, and a linear head: 18,218 weights with the
    default arguments. (N, 1, H, W) standardised films -> (N, 2) logits: healthy, diseased.

    With `contrast` local, the encoder sees each film through `local_contrast`.
    """

    def __init__(
        self, width: int = 8, blocks: int = 3, dropout: float = 0.0, contrast: str = "global"
    ) -> None:
        super().__init__()
        self.contrast = contrast
        self.encoder = Encoder(width, blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.encoder.maps, 2)

    def embed(self, films: Tensor) -> Tensor:
        """The latent vectors, (N, maps), that the head sees."""
        films = local_contrast(films) if self.contrast == "local" else films
        return self.pool(self.encoder(films)).flatten(1)

    def forward(self, films: Tensor) -> Tensor:
        return self.head(self.dropout(self.embed(films)))


def local_contrast(films: Tensor) -> Tensor:
    """Each pixel less the mean of the window around it, over the window's standard deviation
    (Jarrett et al. 2009, sec. 2.1): exposure and slow gradients drop out. No weights.
    (N, 1, H, H) films in [-1, 1] -> the same shape, about [-3, 3]."""
    place = torch.arange(films.shape[-1], device=films.device)
    near = ((place[:, None] - place).abs() <= WINDOW * len(place) / 2).to(films.dtype)
    mean_of = near / near.sum(dim=1, keepdim=True)  # a window ends with the film
    detail = films - mean_of @ films @ mean_of.T
    return detail / ((mean_of @ detail.square() @ mean_of.T).sqrt() + FLOOR)


def n_parameters(model: nn.Module) -> int:
    """Number of trainable weights."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def standardise(images: Tensor) -> Tensor:
    """(N, H, W) uint8 films -> (N, 1, H, W) floats in [-1, 1]."""
    return images.unsqueeze(1).float().div_(127.5).sub_(1)


def batch_size(images: Tensor, films: int) -> int:
    """As many (N, H, W) images as have the pixels of so many films of 28 x 28: a network's maps of
    them need the same memory at every size."""
    return max(1, films * 28 * 28 // math.prod(images.shape[1:]))


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], images: Tensor, films: int = 512) -> Tensor:
    """A network's (or its `embed`'s) outputs for (N, H, W) uint8 images, without gradients; `films`
    as in `batch_size`."""
    chunks = images.split(batch_size(images, films))
    return torch.cat([function(standardise(chunk)) for chunk in chunks])


def probabilities(model: Classifier, images: Tensor) -> np.ndarray:
    """(N,) probability of disease for (N, H, W) uint8 images; set `model.eval()` before."""
    return in_batches(model, images).softmax(dim=1)[:, 1].cpu().double().numpy()


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


def check_side(blocks: int, side: int) -> None:
    """Raise UserError if films of this side length (pixels) vanish in so many halvings."""
    if side < 2**blocks:
        raise UserError(
            f"blocks = {blocks} halves a film of {side} pixels to nothing;"
            f" accepted: 1 to {int(math.log2(side))}"
        )


def save(path: Path, model: nn.Module, about: dict) -> None:
    """Write the weights, and `about` (JSON) beside them, as safetensors: no pickle, and the same
    bytes for the same values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {key: value.contiguous().cpu() for key, value in model.state_dict().items()}
    # One key only: safetensors does not keep the order of several.
    save_file(weights, path, {"about": json.dumps(about)})


def read(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The weights and the `about` of a file that `save` wrote; both empty for an empty start."""
    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {}).get("about", "{}"))
        return {key: file.get_tensor(key) for key in file.keys()}, about  # noqa: SIM118


def load_classifier(path: Path) -> Classifier:
    """The trained classifier of a run, in evaluation mode."""
    weights, about = read(path)
    model = Classifier(**about["architecture"])
    model.load_state_dict(weights)
    return model.eval()


def embeddings(model: Classifier, images: np.ndarray, device: torch.device) -> np.ndarray:
    """(N, maps) latent vectors of (N, H, W) uint8 images; set `model.eval()` before."""
    vectors = in_batches(model.embed, torch.from_numpy(images).to(device))
    return vectors.cpu().double().numpy()
