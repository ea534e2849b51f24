"""How far an image lies from the training images: in grey values and in what the network makes of
it. No probability: an image's distance is ranked among those of the validation images.
"""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from chestflow.models import cnn, inference

LIMIT = 99.0  # percent; an image above it is out of distribution
CELLS = 7  # to a side, in which grey values are averaged


@dataclass(frozen=True)
class Reference:
    """What `fit` has measured on the training and validation images; D statistics of each."""

    mean: np.ndarray  # (D,) of the training images
    precision: np.ndarray  # (D, D) likewise: the inverse of their covariance
    distances: np.ndarray  # (V,) of the validation images, ascending

    def percentiles(self, vectors: np.ndarray) -> np.ndarray:
        """(N, D) statistics -> (N,) percent of the validation images that are nearer."""
        distances = mahalanobis(vectors - self.mean, self.precision)
        return 100 * np.searchsorted(self.distances, distances) / len(self.distances)


def fit(train: np.ndarray, val: np.ndarray) -> Reference:
    """Measure the images to which others are compared, by their statistics: (N, D) and (V, D).

    One Gaussian over all statistics (Lee et al. 2018 take one per class and layer). Its covariance
    is shrunk (Ledoit & Wolf 2004): a channel that is silent on all training images would otherwise
    have no weight when another image wakes it. Each statistic is standardised before, so that
    shrinking treats them alike.
    """
    mean, scale = train.mean(axis=0), train.std(axis=0) + 1e-6
    shrunk = LedoitWolf(assume_centered=True).fit((train - mean) / scale)
    precision = shrunk.precision_ / np.outer(scale, scale)
    return Reference(mean, precision, np.sort(mahalanobis(val - mean, precision)))


def mahalanobis(centred: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """(N, D), (D, D) -> (N,) squared distances."""
    return np.einsum("nd,de,ne->n", centred, precision, centred)


def statistics(classifier: cnn.Classifier, images: Tensor) -> np.ndarray:
    """(N, D) of (N, H, W) uint8 images: mean and standard deviation of every channel of every
    block, and the mean grey value of each of CELLS x CELLS cells.

    The embedding alone, which are the last block's means, notices little: the network was trained
    to ignore what does not tell its classes apart.
    """

    def of_batch(standardised: Tensor) -> Tensor:
        values = [adaptive_avg_pool2d(standardised, CELLS).flatten(1)]
        maps = classifier.contrasted(standardised)
        for block in classifier.encoder:
            maps = block(maps)
            values += [maps.mean(dim=(2, 3)), maps.std(dim=(2, 3), correction=0)]
        return torch.cat(values, dim=1)

    return inference.in_batches(of_batch, images).cpu().double().numpy()
