"""The pointing game on maps made by hand, and what is said of it."""

import numpy as np

from chestflow.explain import localisation

MAPS = np.zeros((4, 2, 4))
MASKS = np.zeros((4, 2, 4), bool)
MASKS[:, 0, :2] = True  # a quarter of the image
MAPS[0, 0, 1], MAPS[0, 1, 3] = 1.0, 0.5  # highest inside
MAPS[1, 1, 0], MAPS[1, 0, 0] = 1.0, 0.25  # highest outside
MAPS[2, 0, 0] = MAPS[2, 1, 0] = 1.0  # as high inside as outside; MAPS[3] stays empty


def test_pointing_hits_by_hand():
    assert localisation.pointing_hits(MAPS, MASKS).tolist() == [1, 0, 0.5, 0.25]
    assert localisation.pointing_hits(MAPS[1], MASKS).tolist() == [0] * 4, "one map for all"


def test_the_best_pixel_hits_most_often_of_all(splits):
    masks = splits["train"].masks
    masks = masks[masks.any(axis=(1, 2))]
    hits = localisation.pointing_hits(localisation.best_pixel(masks), masks)
    assert hits.mean() == masks.mean(axis=0).max() and set(hits) == {0, 1}


def test_trainings_and_images_are_paired_with_the_pixel():
    """Hits where the pixel hits, and in half of the other images: certainly better."""
    fixed = np.tile([1.0, 1.0, 1.0, 0.0], 30)
    hits = np.tile(fixed, (3, 1))
    hits[:, 3::8] = 1
    found = localisation.report(hits, hits[0], fixed, np.zeros(3))
    assert found["value"] == found["mean_map"]["value"] == 0.875
    assert found["difference"]["difference"] == 0.125
    assert found["difference"]["ci95"][0] > 0.05


def test_examples_are_half_of_each_class_and_hold_an_error_if_there_is_one():
    labels = np.repeat([0, 1], [50, 10])
    probability = labels * 0.8 + 0.1
    probability[17] = 0.9  # a false alarm
    for seed in range(5):
        index = localisation.examples(labels, probability, 6, seed)
        assert labels[index].tolist() == [0, 0, 0, 1, 1, 1] and 17 in index
