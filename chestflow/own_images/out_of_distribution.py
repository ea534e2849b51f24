"""How unlike the training images an image is: in grey values and in what the network makes of it.

No probability: an image's distance is ranked among those of the validation images.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from chestflow.models import cnn, inference

LIMIT = 99.0  # percent; an image above it is unlike the training images
CELLS = 7  # to a side, in which grey values are averaged


@dataclass(frozen=True)
class Unlikeness:
    """What `fit` has measured on the training and validation images; D statistics of each."""

    classifier: cnn.Classifier
    mean: np.ndarray  # (D,) of the training images
    precision: np.ndarray  # (D, D) likewise: the inverse of their covariance
    usual: np.ndarray  # (V,) distances of the validation images, ascending

    def measure(self, images: Tensor) -> np.ndarray:
        """(N, H, W) uint8 on the network's device -> (N,) squared Mahalanobis distances from the
        training images."""
        centred = statistics(self.classifier, images) - self.mean
        return np.einsum("nd,de,ne->n", centred, self.precision, centred)

    def rank(self, images: Tensor) -> np.ndarray:
        """(N, H, W) uint8 -> (N,) percent of the validation images that are nearer."""
        return percentiles(self.measure(images), self.usual)


def fit(classifier: cnn.Classifier, train: Tensor, val: Tensor) -> Unlikeness:
    """Measure the images against which others are ranked: (N, H, W) and (V, H, W) uint8.

    One Gaussian over all statistics (Lee et al. 2018 take one per class and layer). Its covariance
    is shrunk (Ledoit & Wolf 2004): a channel that is silent on all training images would otherwise
    have no weight when another image wakes it. Each statistic is standardised before, so that
    shrinking treats them alike.
    """
    known = statistics(classifier, train)
    scale = known.std(axis=0) + 1e-6
    shrunk = LedoitWolf(assume_centered=True).fit((known - known.mean(axis=0)) / scale)
    precision = shrunk.precision_ / np.outer(scale, scale)
    found = Unlikeness(classifier, known.mean(axis=0), precision, np.empty(0))
    return replace(found, usual=np.sort(found.measure(val)))


def statistics(classifier: cnn.Classifier, images: Tensor) -> np.ndarray:
    """(N, D) of (N, H, W) uint8 images: mean and standard deviation of every channel of every
    block, and the mean grey value of each of CELLS x CELLS cells.

    The embedding alone, which are the last block's means, notices little: the network was trained
    to ignore what does not tell its classes apart.
    """

    def of_batch(standardised: Tensor) -> Tensor:
        found = [adaptive_avg_pool2d(standardised, CELLS).flatten(1)]
        maps = classifier.contrasted(standardised)
        for block in classifier.encoder:
            maps = block(maps)
            found += [maps.mean(dim=(2, 3)), maps.std(dim=(2, 3), correction=0)]
        return torch.cat(found, dim=1)

    return inference.in_batches(of_batch, images).cpu().double().numpy()


def percentiles(values: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """(N,) percent of the ascending reference values below each value: 100 is above all."""
    return 100 * np.searchsorted(ascending, values, side="left") / len(ascending)
