"""Logistic regression on pixels, beside what can be worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from chestflow.metrics import baselines, comparison, intervals


def vectors(n: int, features: int, seed: int, signal: float = 1.0) -> baselines.Known:
    """One of many features tells the classes apart."""
    rng, labels = np.random.default_rng(seed), np.arange(n) % 4 // 3
    values = rng.normal(size=(n, features))
    values[:, 0] += signal * labels
    return values, labels


@pytest.mark.parametrize("side", [28, 56, 64])
def test_pixels_are_the_means_of_patches_as_large_as_leave_28_or_more(side):
    images = np.random.default_rng(0).integers(0, 256, (3, side, side), np.uint8)
    patch = side // 28
    flat = baselines.pixels(images)
    assert flat.shape == (3, (side // patch) ** 2)
    assert flat[1, 1] == pytest.approx(images[1, :patch, patch : 2 * patch].mean() / 255)


def test_validation_chooses_the_penalty():
    """Few images and many features call for a strong one, and the reverse for a weak one."""
    val = vectors(2000, 200, seed=1)
    few = baselines.logistic(vectors(60, 200, seed=0), val)
    many = baselines.logistic(vectors(20_000, 200, seed=0), val)
    assert few[-1].C < many[-1].C
    assert roc_auc_score(val[1], baselines.probability(many, val[0])) > 0.7


def test_both_classes_weigh_the_same():
    """A fourth is diseased; where nothing tells the classes apart, each gets half."""
    train, val = vectors(4000, 5, 0, signal=0.0), vectors(400, 5, 1, signal=0.0)
    probability = baselines.probability(baselines.logistic(train, val), val[0])
    assert probability.mean() == pytest.approx(0.5, abs=0.01)


def test_a_network_is_compared_image_by_image():
    labels, rng = np.arange(100) % 2, np.random.default_rng(0)
    pixels = np.stack([0.3 * labels + rng.random(100)] * 3) / 1.3
    network = np.clip(pixels + 0.1 * labels, 0, 1)
    report = baselines.beside(labels, network, pixels)
    assert report["auroc"] == pytest.approx(roc_auc_score(labels, pixels[0]))
    assert report["accuracy"] == pytest.approx(((pixels[0] >= 0.5) == labels).mean())
    pair = (intervals.auroc(labels, p) for p in (network, pixels))
    assert report["difference"]["auroc"] == comparison.paired_difference(*pair)
