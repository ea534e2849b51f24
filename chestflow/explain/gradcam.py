"""GradCAM (Selvaraju et al. 2017) and LayerCAM (Jiang et al. 2021): where a network found evidence
for a class."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chestflow.errors import UserError
from chestflow.models.cnn import Classifier
from chestflow.models.inference import batch_size, standardise

BLOCKS = 2  # LayerCAM: the last blocks. Chosen on validation, see docs/experiments.md


def conv_layer(model: nn.Module, name: str) -> nn.Conv2d:
    """A convolution by its name in the model, or the `last` one.

    Raises UserError, with the names there are, if the model has no such convolution.
    """
    convs = {key: m for key, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    if name != "last" and name not in convs:
        raise UserError(f"layer {name!r} is no convolution; accepted: last, {', '.join(convs)}")
    return convs[name] if name in convs else list(convs.values())[-1]


def grad_cam(model: nn.Module, layer: nn.Module, images: Tensor, target: int) -> Tensor:
    """Each channel of a layer weighted by its mean gradient (Selvaraju et al. 2017, eq. 1 and 2).

    images: (N, 1, H, W) standardised; target: index of the output.
    Returns (N, H, W) maps from 0 to 1; a map without any positive evidence is 0 everywhere.
    """
    ((channels, gradient),) = channels_and_gradients(model, [layer], images, target)
    weights = gradient.mean(dim=(2, 3), keepdim=True)  # alpha: one weight per channel
    return _to_unit(_of_evidence(weights * channels, images))


def layer_cam(model: nn.Module, layers: Sequence[nn.Module], images: Tensor, target: int) -> Tensor:
    """Each cell of each channel weighted by its own gradient, where that is positive (Jiang et al.
    2021), so that early layers, whose cells are small, give useful maps too: relu(sum over channels
    of relu(gradient) * channel), of each layer from 0 to 1, then averaged over the layers. Shapes
    and ranges as of `grad_cam`."""
    found = channels_and_gradients(model, layers, images, target)
    maps = [_of_evidence(F.relu(gradient) * channels, images) for channels, gradient in found]
    return _to_unit(torch.stack(maps).mean(dim=0))


def channels_and_gradients(
    model: nn.Module, layers: Sequence[nn.Module], images: Tensor, target: int
) -> list[tuple[Tensor, Tensor]]:
    """Of each layer its output, (N, C, h, w), and the gradient of the target's logit to it."""
    kept: list[Tensor] = []
    handles = [
        layer.register_forward_hook(  # outputs need a gradient even if all weights are frozen
            lambda _module, _inputs, output: kept.append(output.requires_grad_())
        )
        for layer in layers
    ]
    try:
        logits = model(images)
    finally:
        for handle in handles:
            handle.remove()
    score = logits[:, target].sum()  # images do not mix, so one sum serves all
    return [(c.detach(), g) for c, g in zip(kept, torch.autograd.grad(score, kept))]


def _of_evidence(weighted: Tensor, images: Tensor) -> Tensor:
    """The channels' sum where it speaks for the class, from 0 to 1, at the images' resolution."""
    maps = _to_unit(F.relu(weighted.sum(dim=1)))[:, None]
    return F.interpolate(maps, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def _to_unit(maps: Tensor) -> Tensor:
    low, high = (getattr(maps, f"a{end}")(dim=(1, 2), keepdim=True) for end in ("min", "max"))
    return (maps - low) / (high - low).clamp_min(torch.finfo(maps.dtype).tiny)


def grad_cams(
    model: Classifier, layer: str, images: Tensor, target: int, per_batch: int = 256
) -> np.ndarray:
    """`grad_cam` of (N, H, W) uint8 images in batches, at a layer by its name: (N, H, W);
    `per_batch` as in `inference.batch_size`."""
    return _in_batches(
        partial(grad_cam, model, conv_layer(model, layer)), images, target, per_batch
    )


def layer_cams(model: Classifier, images: Tensor, target: int, per_batch: int = 256) -> np.ndarray:
    """The same of `layer_cam`, at the outputs of the last BLOCKS blocks."""
    layers = list(model.encoder)[-BLOCKS:]
    return _in_batches(partial(layer_cam, model, layers), images, target, per_batch)


def _in_batches(cam: Callable, images: Tensor, target: int, per_batch: int) -> np.ndarray:
    chunks = (standardise(chunk) for chunk in images.split(batch_size(images, per_batch)))
    return torch.cat([cam(chunk, target) for chunk in chunks]).cpu().numpy()
