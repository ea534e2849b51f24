"""Stress validation: validation images as if cropped, processed and exposed elsewhere.

Validation images that come from the same place as the training images cannot tell apart networks
that do equally well there and differ elsewhere (underspecification, D'Amour et al. 2022), so
choices are made on images with the changes that another place would make.
"""

import numpy as np
import torch

from chestflow.data import arrays
from chestflow.models import inference
from chestflow.models.cnn import Classifier
from chestflow.training.augmentation import augment

# The same for every run, whatever it was trained with: else each would be tested by its own exam.
STEPS = ("reframe", "sharpen", "expose")
DRAWS = 4  # of random changes to each image
SEED = 2022  # of these changes: the same for all runs and trainings
IMAGES = 2000  # at most, so that a large data set takes no longer than a test set


def stressed(images: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """(N, H, W) uint8 images -> (DRAWS, N, H, W) uint8, each image changed DRAWS times at random.

    generator: on the CPU, as the images are, so that a seed gives the same bytes everywhere.
    """
    inputs = inference.standardise(torch.from_numpy(images))
    draws = torch.cat([augment(inputs, STEPS, generator) for _ in range(DRAWS)])
    rounded = draws.add_(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
    return rounded.view(DRAWS, *images.shape).numpy()


def chosen(index: np.ndarray) -> np.ndarray:
    """At most IMAGES of a training's labelled validation images, by their indices (N,)."""
    return np.sort(np.random.default_rng(SEED).permutation(index)[:IMAGES])


def probabilities(model: Classifier, images: np.ndarray, device: torch.device) -> np.ndarray:
    """(DRAWS, N) probabilities of disease by a network in evaluation mode, for (N, H, W) uint8
    validation images, each changed DRAWS times: the same changes for all networks."""
    generator, blocks = torch.Generator().manual_seed(SEED), []
    for block in arrays.blocks(images):
        changed = torch.from_numpy(stressed(images[block], generator)).to(device)
        probability = inference.probabilities(model, changed.flatten(0, 1))
        blocks.append(probability.reshape(DRAWS, -1))
    return np.concatenate(blocks, axis=1)
