"""The scores of GradCAM's maps, on maps made by hand and beside SciPy's."""

import numpy as np
import pytest
from scipy import stats

from chestflow.explain import localisation

MAPS = np.zeros((4, 2, 4))
MASKS = np.zeros((4, 2, 4), bool)
MASKS[:, 0, :2] = True  # a quarter of the image
MAPS[0, 0, 1], MAPS[0, 1, 3] = 1.0, 0.5  # highest inside
MAPS[1, 1, 0], MAPS[1, 0, 0] = 1.0, 0.25  # highest outside
MAPS[2, 0, 0] = MAPS[2, 1, 0] = 1.0  # as high inside as outside; MAPS[3] stays empty


def test_pointing_hits_and_mass_inside_by_hand():
    assert localisation.pointing_hits(MAPS, MASKS).tolist() == [1, 0, 0.5, 0.25]
    assert localisation.mass_inside(MAPS, MASKS) == pytest.approx([1 / 1.5, 0.25 / 1.25, 0.5, 0.25])


def test_random_maps_score_at_chance_level(splits):
    """Which is the true finding's share of the image."""
    masks = splits["test"].masks
    masks = np.tile(masks[masks.any(axis=(1, 2))], (20, 1, 1))
    maps = np.random.default_rng(0).random(masks.shape)
    error = 4 * np.sqrt(masks.mean() / len(masks))
    assert localisation.pointing_hits(maps, masks).mean() == pytest.approx(masks.mean(), abs=error)
    assert localisation.mass_inside(maps, masks).mean() == pytest.approx(masks.mean(), abs=0.005)


def test_rank_correlations_equal_those_of_scipy():
    rng = np.random.default_rng(0)
    maps, others = np.round(rng.random((2, 6, 5, 4)), 1)  # rounded: ties
    others[0], others[1] = maps[0] * 2 + 1, -maps[1]
    expected = [stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(maps, others)]
    rho = localisation.rank_correlations(np.stack([maps, others, maps]))
    assert rho.shape == (6, 3, 3)
    assert rho[:, 0, 1] == pytest.approx(expected) == rho[:, 1, 2]
    assert rho[:2, 0, 1] == pytest.approx([1, -1])
    maps[2] = 0
    rho = localisation.rank_correlations(np.stack([maps, others]))[:, 0, 1]
    assert np.flatnonzero(np.isnan(rho)).tolist() == [2], "of a constant map it is undefined"


@pytest.mark.parametrize("parts", [[slice(0, 4)], [slice(0, 1), slice(1, 3), slice(3, 4)]])
def test_a_report_holds_the_means_over_the_diseased_images_however_they_are_blocked(parts):
    masks = MASKS.copy()
    masks[0] = False  # a healthy image
    networks = np.concatenate([MAPS[None], np.random.default_rng(0).random((3, *MAPS.shape))])
    scores = localisation.score((MAPS[part], masks[part]) for part in parts)
    random = localisation.beside_random((networks[:, part], masks[part]) for part in parts)
    report = localisation.report(scores, random)
    assert (report["n"], report["n_masks"], report["empty_maps"]) == (4, 3, 0.25)
    assert report["chance"] == 0.25
    assert report["pointing_hits"] == pytest.approx((0 + 0.5 + 0.25) / 3)
    assert report["mass_inside"] == pytest.approx((0.25 / 1.25 + 0.5 + 0.25) / 3)
    expected = [localisation.mass_inside(n[1:], masks[1:]).mean() for n in networks[1:]]
    assert report["random_networks"]["mass_inside"] == pytest.approx(expected)
    for name, (low, high) in report["ci95"].items():
        assert low <= report[name] <= high


def test_every_random_network_counts_by_itself_and_against_all_others():
    """One with the trained network's maps, one with their opposite, and one whose maps are empty,
    which is undefined and left out of mean and range. Without masks nothing is localised."""
    maps = np.random.default_rng(0).random((5, 4, 4))
    networks = np.stack([maps, maps, -maps, np.zeros_like(maps)])
    random = localisation.beside_random([(networks, None)])
    assert random["rank_correlation"] == pytest.approx([1, -1, np.nan], nan_ok=True)
    assert random["among_themselves"] == pytest.approx([-1, -1, np.nan], nan_ok=True)
    report = localisation.report(localisation.score([(maps, None)]), random)
    assert set(report) == {"n", "empty_maps", "random_weights", "random_networks"}
    assert report["random_weights"]["rank_correlation"] == pytest.approx([0, -1, 1])


def test_examples_are_half_of_each_class_and_hold_an_error_if_there_is_one():
    labels = np.repeat([0, 1], [50, 10])
    probability = labels * 0.8 + 0.1
    probability[17] = 0.9  # a false alarm
    for seed in range(5):
        index = localisation.examples(labels, probability, 6, seed)
        assert labels[index].tolist() == [0, 0, 0, 1, 1, 1] and 17 in index
