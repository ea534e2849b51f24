"""GradCAM (Selvaraju et al. 2017), and its control with random weights."""

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chestflow.errors import UserError
from chestflow.models.cnn import Classifier
from chestflow.models.inference import batch_size, standardise


def conv_layer(model: nn.Module, name: str) -> nn.Conv2d:
    """A convolution by its name in the model, or the `last` one.

    Raises UserError, with the names there are, if the model has no such convolution.
    """
    convs = {key: m for key, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    if name != "last" and name not in convs:
        raise UserError(f"layer {name!r} is no convolution; accepted: last, {', '.join(convs)}")
    return convs[name] if name in convs else list(convs.values())[-1]


def grad_cam(model: nn.Module, layer: nn.Module, images: Tensor, target: int) -> Tensor:
    """Where the network saw evidence for a class.

    images: (N, 1, H, W) standardised; target: index of the output.
    Returns (N, H, W) maps from 0 to 1; a map without any positive evidence is 0 everywhere.
    """
    kept = []
    handle = layer.register_forward_hook(  # A needs a gradient even if all weights are frozen
        lambda _module, _inputs, output: kept.append(output.requires_grad_())
    )
    try:  # 1. forward, keeping the layer's output A (its channels)
        logits = model(images)
    finally:
        handle.remove()
    score = logits[:, target].sum()  # 2. the class score; images do not mix, so one sum serves all
    (gradient,) = torch.autograd.grad(score, kept)  # 3. its gradient with respect to A
    weights = gradient.mean(dim=(2, 3), keepdim=True)  # 4. alpha: one weight per channel
    maps = (weights * kept[0].detach()).sum(dim=1, keepdim=True)  # 5. their weighted sum
    maps = F.relu(maps)  # 6. only what speaks for the class
    maps = F.interpolate(maps, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return _to_unit(maps)  # 7. at the image's resolution, from 0 to 1


def grad_cams(
    model: Classifier, layer: str, images: Tensor, target: int, per_batch: int = 256
) -> np.ndarray:
    """`grad_cam` of (N, H, W) uint8 images in batches, at a layer by its name: (N, H, W);
    `per_batch` as in `inference.batch_size`."""
    chosen = conv_layer(model, layer)
    chunks = (standardise(chunk) for chunk in images.split(batch_size(images, per_batch)))
    return torch.cat([grad_cam(model, chosen, c, target) for c in chunks]).cpu().numpy()


def _to_unit(maps: Tensor) -> Tensor:
    low, high = (getattr(maps, f"a{end}")(dim=(1, 2), keepdim=True) for end in ("min", "max"))
    return (maps - low) / (high - low).clamp_min(torch.finfo(maps.dtype).tiny)


def reinitialised(model: Classifier, seed: int) -> Classifier:
    """The same network with new random weights (model randomisation, Adebayo et al. 2018)."""
    torch.manual_seed(seed)
    other = copy.deepcopy(model)
    for module in other.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()  # type: ignore[operator]
    return other.eval()
