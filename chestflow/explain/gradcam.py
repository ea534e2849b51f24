"""GradCAM (Selvaraju et al. 2017) and LayerCAM (Jiang et al. 2021): where a network found evidence
for a class."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chestflow.models.cnn import Classifier
from chestflow.models.inference import in_batches

BLOCKS = 2  # LayerCAM: the last blocks. Chosen on validation, see docs/experiments.md
PER_BATCH = 256  # as in `inference.batch_size`


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
    pairs = channels_and_gradients(model, layers, images, target)
    maps = [_of_evidence(F.relu(gradient) * channels, images) for channels, gradient in pairs]
    return _to_unit(torch.stack(maps).mean(dim=0))


def channels_and_gradients(
    model: nn.Module, layers: Sequence[nn.Module], images: Tensor, target: int
) -> list[tuple[Tensor, Tensor]]:
    """Of each layer its output, (N, C, h, w), and the gradient of the target's logit to it."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        kept.append(output.requires_grad_())  # they need a gradient even if all weights are frozen

    with torch.enable_grad(), ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(layer.register_forward_hook(keep))
        score = model(images)[:, target].sum()  # images do not mix, so one sum serves all
    return [(c.detach(), g) for c, g in zip(kept, torch.autograd.grad(score, kept))]


def _of_evidence(weighted: Tensor, images: Tensor) -> Tensor:
    """The channels' sum where it speaks for the class, from 0 to 1, at the images' resolution."""
    maps = _to_unit(F.relu(weighted.sum(dim=1)))[:, None]
    return F.interpolate(maps, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def _to_unit(maps: Tensor) -> Tensor:
    above = maps - maps.amin(dim=(1, 2), keepdim=True)
    return above / above.amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)


def grad_cams(model: Classifier, layer: str, images: Tensor, target: int) -> np.ndarray:
    """`grad_cam` of (N, H, W) uint8 images in batches: (N, H, W); layer: the name of a convolution
    in the model, or `last`."""
    convs = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    chosen = list(convs.values())[-1] if layer == "last" else convs[layer]
    cam = partial(grad_cam, model, chosen, target=target)
    return in_batches(cam, images, PER_BATCH).cpu().numpy()


def layer_cams(model: Classifier, images: Tensor, target: int) -> np.ndarray:
    """The same of `layer_cam`, at the outputs of the last BLOCKS blocks."""
    cam = partial(layer_cam, model, list(model.encoder)[-BLOCKS:], target=target)
    return in_batches(cam, images, PER_BATCH).cpu().numpy()
