"""GradCAM (Selvaraju et al. 2017), and whether its maps mean anything."""

import copy
import math

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn import functional as F

from stages.lib.errors import UserError
from stages.lib.model import Classifier, batch_size, standardise


def conv_layer(model: nn.Module, name: str) -> nn.Conv2d:
    """A convolution by its name in the model, or the `last` one.

    Raises UserError, with the names there are, if the model has no such convolution.
    """
    convs = {key: m for key, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    if name != "last" and name not in convs:
        raise UserError(f"layer {name!r} is no convolution; accepted: last, {', '.join(convs)}")
    return convs[name] if name in convs else list(convs.values())[-1]


def grad_cam(model: nn.Module, layer: nn.Module, films: Tensor, target: int) -> Tensor:
    """Where the network saw evidence for a class.

    films: (N, 1, H, W) standardised; target: index of the output.
    Returns (N, H, W) maps from 0 to 1; a map without any positive evidence is 0 everywhere.
    """
    kept = []
    handle = layer.register_forward_hook(  # A asks for gradients even if no weight does
        lambda _module, _inputs, output: kept.append(output.requires_grad_())
    )
    try:  # 1. forward, keeping the layer's feature maps A
        logits = model(films)
    finally:
        handle.remove()
    score = logits[:, target].sum()  # 2. the class score; films do not mix, so one sum serves all
    (gradient,) = torch.autograd.grad(score, kept)  # 3. its gradient with respect to A
    weights = gradient.mean(dim=(2, 3), keepdim=True)  # 4. alpha: one weight per feature map
    maps = (weights * kept[0].detach()).sum(dim=1, keepdim=True)  # 5. their weighted sum
    maps = F.relu(maps)  # 6. only what speaks for the class
    maps = F.interpolate(maps, films.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return _to_unit(maps)  # 7. at the film's resolution, from 0 to 1


def grad_cams(
    model: Classifier, layer: str, images: Tensor, target: int, films: int = 256
) -> np.ndarray:
    """`grad_cam` of (N, H, W) uint8 images in batches, at a layer by its name: (N, H, W); `films`
    as in `model.batch_size`."""
    chosen = conv_layer(model, layer)
    chunks = (standardise(chunk) for chunk in images.split(batch_size(images, films)))
    return torch.cat([grad_cam(model, chosen, c, target) for c in chunks]).cpu().numpy()


def reinitialised(model: Classifier, seed: int) -> Classifier:
    """The same network with new random weights (model randomisation, Adebayo et al. 2018)."""
    torch.manual_seed(seed)
    other = copy.deepcopy(model)
    for module in other.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return other.eval()


def rank_correlations(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's rho of each pair of (N, H, W) maps: (N,), NaN where a map is constant."""
    a, b = (_centred_ranks(_flat(m)) for m in (maps, others))
    product = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), product, out=np.full(len(a), np.nan), where=product > 0)


def pointing_hits(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(N,) 1 where a map's maximum lies in the true mask (Zhang et al. 2018), ties sharing; an
    empty map points everywhere, so it scores the mask's share of the film."""
    flat, inside = _flat(maps), _flat(masks)
    top = flat == flat.max(axis=1, keepdims=True)
    return (top & inside).sum(axis=1) / top.sum(axis=1)


def mass_inside(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(N,) share of each map's sum that lies in the mask; of an empty map, the mask's share."""
    flat, inside = _flat(maps), _flat(masks)
    flat = np.where(flat.sum(axis=1, keepdims=True) > 0, flat, 1.0)
    return (flat * inside).sum(axis=1) / flat.sum(axis=1)


def _flat(maps: np.ndarray) -> np.ndarray:
    """(N, H, W) -> (N, H W), even if N is 0, for which reshape cannot infer a length."""
    return maps.reshape(len(maps), math.prod(maps.shape[1:]))


def _centred_ranks(flat: np.ndarray) -> np.ndarray:
    ranks = rankdata(flat, axis=1)
    return ranks - ranks.mean(axis=1, keepdims=True)


def _to_unit(maps: Tensor) -> Tensor:
    low, high = (getattr(maps, f"a{end}")(dim=(1, 2), keepdim=True) for end in ("min", "max"))
    return (maps - low) / (high - low).clamp_min(torch.finfo(maps.dtype).tiny)
