"""How unlike the training images an image is: in the embedding, and, where there is one, to the
autoencoder.

Neither is a probability: an image's value is ranked among those of the validation images.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.covariance import LedoitWolf

from chestflow.images import arrays
from chestflow.network import autoencoder, inference, model

LIMIT = 99.0  # percent; an image above it in any ranking is unlike the training images


@dataclass(frozen=True)
class Unlikeness:
    """What `fit` has measured on the training and validation images."""

    classifier: model.Classifier
    rebuilder: autoencoder.Autoencoder | None
    mean: np.ndarray  # (D,) of the training images' embeddings
    precision: np.ndarray  # (D, D) likewise: the inverse of their covariance
    usual: dict[str, np.ndarray]  # what `measure` found of the V validation images, ascending

    def measure(self, images: torch.Tensor) -> dict[str, np.ndarray]:
        """Of (N, H, W) uint8 images the reconstruction errors, if there is an autoencoder, and the
        distances of the embeddings from those of the training images, (N,) each."""
        centred = embed(self.classifier, images) - self.mean
        found = {"embedding": np.einsum("nd,de,ne->n", centred, self.precision, centred)}
        if self.rebuilder is None:
            return found
        return {"reconstruction": reconstruction_errors(self.rebuilder, images), **found}

    def rank(self, images: torch.Tensor) -> dict[str, np.ndarray]:
        """(N, H, W) uint8 on the networks' device -> (N,) each: percent of the validation images
        that the autoencoder, if there is one, rebuilds better (`reconstruction`), and that lie
        nearer to the training images (`embedding`)."""
        found = self.measure(images)
        return {name: percentiles(values, self.usual[name]) for name, values in found.items()}


def fit(
    classifier: model.Classifier,
    rebuilder: autoencoder.Autoencoder | None,
    train: torch.Tensor,
    val: torch.Tensor,
) -> Unlikeness:
    """Measure the images against which others are ranked: (N, H, W) and (V, H, W) uint8.

    The distance is Mahalanobis's (after Lee et al. 2018, who take one Gaussian per class), squared.
    Its covariance is shrunk (Ledoit & Wolf 2004): a map of the embedding that is silent on all
    training images would otherwise have no weight when another image wakes it.
    """
    known = LedoitWolf().fit(embed(classifier, train))
    found = Unlikeness(classifier, rebuilder, known.location_, known.precision_, {})
    usual = {name: np.sort(values) for name, values in found.measure(val).items()}
    return replace(found, usual=usual)


def reconstruction_errors(rebuilder: autoencoder.Autoencoder, images: torch.Tensor) -> np.ndarray:
    """(N,) mean squared error of the reconstructions of (N, H, W) uint8 images, on a scale of 0 to
    1: an autoencoder rebuilds badly what it has not seen (Baur et al. 2021)."""
    parts = (images[block] for block in arrays.blocks(images))
    return np.concatenate([_errors(rebuilder, part) for part in parts])


def _errors(rebuilder: autoencoder.Autoencoder, images: torch.Tensor) -> np.ndarray:
    rebuilt = autoencoder.reconstruct(rebuilder, images)
    return ((rebuilt - autoencoder.unit(images)) ** 2).mean(axis=(1, 2))


def embed(classifier: model.Classifier, images: torch.Tensor) -> np.ndarray:
    return inference.embeddings(classifier, images.cpu().numpy(), images.device)


def percentiles(values: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """(N,) percent of the ascending reference values below each value: 100 is above all."""
    return 100 * np.searchsorted(ascending, values, side="left") / len(ascending)
