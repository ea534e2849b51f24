"""The stress set: validation images changed at random, the same for every run."""

import numpy as np
import torch

from chestflow import stress
from chestflow.models.cnn import Classifier


def changed(images: np.ndarray) -> np.ndarray:
    return stress.stressed(images, torch.Generator().manual_seed(stress.SEED))


def test_the_draws_are_images_that_differ_from_each_other_and_from_the_original(splits):
    images = splits["val"].images
    draws = changed(images)
    assert draws.shape == (stress.DRAWS, *images.shape) and draws.dtype == np.uint8
    assert np.array_equal(draws, changed(images)), "a seed fixes them"
    similar = [np.corrcoef(images.ravel(), draw.ravel())[0, 1] for draw in draws]
    assert min(similar) > 0.5 and max(similar) < 0.99
    assert not np.array_equal(draws[0], draws[1])
    assert draws.min() == 0 and draws.max() == 255, "rounded within the range, not wrapped"


def test_all_networks_see_the_same_changes(splits):
    model, images = Classifier().eval(), splits["val"].images
    one, two = (stress.probabilities(model, images, torch.device("cpu")) for _ in range(2))
    assert one.shape == (stress.DRAWS, len(images)) and np.array_equal(one, two)


def test_a_large_validation_set_is_sampled_and_a_small_one_is_not():
    assert stress.chosen(np.arange(100, 150)).tolist() == list(range(100, 150))
    many = stress.chosen(np.arange(9000))
    assert len(np.unique(many)) == stress.IMAGES and np.array_equal(many, np.sort(many))
