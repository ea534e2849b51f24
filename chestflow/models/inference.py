"""Images in, numbers out: standardising, batching, probabilities and embeddings."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from chestflow.models.cnn import Classifier


def standardise(images: Tensor) -> Tensor:
    """(N, H, W) uint8 images -> (N, 1, H, W) floats in [-1, 1]."""
    return images.unsqueeze(1).float().div_(127.5).sub_(1)


def batch_size(images: Tensor, per_batch: int) -> int:
    """How many (N, H, W) images have as many pixels as `per_batch` images of 28 x 28, so that a
    batch needs the same memory at every image size."""
    return max(1, per_batch * 28 * 28 // math.prod(images.shape[1:]))


@torch.no_grad()
def in_batches(
    function: Callable[[Tensor], Tensor], images: Tensor, per_batch: int = 512
) -> Tensor:
    """A network's (or its `embed`'s) outputs for (N, H, W) uint8 images, without gradients;
    `per_batch` as in `batch_size`."""
    chunks = images.split(batch_size(images, per_batch))
    return torch.cat([function(standardise(chunk)) for chunk in chunks])


def probabilities(model: Classifier, images: Tensor) -> np.ndarray:
    """(N,) probability of disease for (N, H, W) uint8 images; set `model.eval()` before."""
    return in_batches(model, images).softmax(dim=1)[:, 1].cpu().double().numpy()


def embeddings(model: Classifier, images: np.ndarray, device: torch.device) -> np.ndarray:
    """(N, channels) latent vectors of (N, H, W) uint8 images; set `model.eval()` before."""
    vectors = in_batches(model.embed, torch.from_numpy(images).to(device))
    return vectors.cpu().double().numpy()
