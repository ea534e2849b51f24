"""What maps must beat before they can be said to show anything: one map for all images, and the
maps of networks that learnt nothing."""

import copy

import numpy as np
import torch

from chestflow.models.cnn import Classifier


def best_pixel(masks: np.ndarray) -> np.ndarray:
    """The map of one pixel, the one that lies in the most of (N, H, W) true findings: (H, W), 1
    there and 0 elsewhere. No other map that is the same for all images hits as many of them."""
    often = masks.sum(axis=0)
    return (np.arange(often.size) == often.argmax()).reshape(often.shape).astype(np.float32)


def centred(side: int) -> np.ndarray:
    """(side, side) from 0 to 1: a Gaussian in the middle, with a quarter of the side as its sd."""
    place = (np.arange(side) - (side - 1) / 2) / (side / 4)
    return np.exp(-(place[:, None] ** 2 + place**2) / 2).astype(np.float32)


def reinitialised(model: Classifier, seed: int) -> Classifier:
    """The same network with new random weights (model randomisation, Adebayo et al. 2018)."""
    torch.manual_seed(seed)
    other = copy.deepcopy(model)
    for module in other.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()  # type: ignore[operator]
    return other.eval()
