"""What is chosen on validation, and calibration, against known distortions; prior shift."""

import numpy as np
import pytest
from scipy import special
from sklearn import metrics

from chestflow.errors import UserError
from chestflow.metrics import calibration, intervals, prevalence
from chestflow.metrics.calibration import IDENTITY, Choice


def reported(slope: float, intercept: float, n: int = 500, seed: int = 3):
    """Labels drawn with known probabilities, and these distorted in their logit."""
    rng = np.random.default_rng(seed)
    true = special.expit(rng.normal(0.5, 2, n))
    labels = (rng.random(n) < true).astype(int)
    return labels, calibration.calibrated(true, slope, intercept)


@pytest.mark.parametrize("decimals", [1, 9])  # many ties, none
def test_the_threshold_has_the_highest_balanced_accuracy_and_is_the_nearest_to_one_half(decimals):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        labels = rng.permutation(np.r_[0, 1, rng.integers(0, 2, 28)])
        scores = np.round(rng.random(30) * 0.7 + labels * 0.3 * rng.random(30), decimals)
        chosen = calibration.best_threshold(labels, scores)
        cuts = np.unique(np.r_[0.0, scores, 1.1])
        middles = (cuts[:-1] + cuts[1:]) / 2
        gains = [metrics.balanced_accuracy_score(labels, scores >= t) for t in (chosen, *middles)]
        assert gains[0] == pytest.approx(max(gains[1:])) and 0 <= chosen <= 1
        best = middles[np.isclose(gains[1:], max(gains[1:]))]
        assert abs(chosen - 0.5) <= np.abs(best - 0.5).min() + 0.5 * np.diff(cuts).max()


def test_platt_scaling_recovers_a_known_distortion():
    labels, probability = reported(2, -1, n=20_000)
    slope, intercept = calibration.fit_platt(labels, probability)
    assert (slope, intercept) == (pytest.approx(0.5, abs=0.03), pytest.approx(0.5, abs=0.06))
    separated = calibration.fit_platt(np.repeat([0, 1], 20), np.repeat([0.0, 1.0], 20))
    assert np.isfinite(separated).all() and separated[0] > 0


@pytest.mark.parametrize(
    ("distortion", "used"), [((2.5, 1.0), True), ((0.4, 0.0), True), ((1.0, 0.0), False)]
)
def test_scaling_is_used_only_fit_if_better_on_images_it_was_not_fitted_on(distortion, used):
    """It moves probabilities to validation's share; without it, the loss's share remains."""
    labels, probability = reported(*distortion)
    choice = calibration.choose(labels, probability[None], trained_share=0.5)
    platt = calibration.fit_platt(labels, probability)
    assert choice.platt == (platt if used else IDENTITY)
    assert choice.share == (labels.mean() if used else 0.5)


@pytest.mark.parametrize(("shift", "used"), [(1.5, True), (0.0, False)])
def test_a_threshold_is_used_only_fit_if_better_on_images_it_was_not_chosen_on(shift, used):
    """Both classes lie around .5 or, shifted, above it. .5 is left alone where it is as good."""
    labels, probability = reported(1.0, shift, n=1000)
    chosen = calibration.choose(labels, probability[None], 0.5).threshold
    best = calibration.best_threshold(labels, probability)
    assert best != 0.5 and chosen == (best if used else 0.5)


def test_all_draws_of_an_image_are_held_out_together():
    labels, probability = np.arange(60) % 2, np.tile(np.linspace(0, 1, 60), (3, 1))
    fitted_on = []

    def fit(known, values):
        fitted_on.append((len(values), len(set(values))))
        return 0.5

    calibration.fit_if_better(labels, probability, fit, calibration.balanced_correctness, 0.5)
    assert fitted_on == [(3 * 48, 48)] * 5


@pytest.mark.parametrize("labels", [[0, 1, 1, 1, 1], [0, 0, 1, 1]], ids=["one healthy", "reversed"])
def test_nothing_is_chosen_where_it_cannot_be_tried_or_would_reverse_the_ranking(labels):
    probability = np.linspace(0.9, 0.1, len(labels))
    choice = calibration.choose(np.array(labels), probability[None], 0.5)
    assert choice.platt == IDENTITY
    assert calibration.calibrated(probability, *IDENTITY) == pytest.approx(probability)
    if labels[1]:
        assert choice.threshold == 0.5


def test_calibration_error_and_reliability_by_hand():
    probability = np.array([0.05, 0.05, 0.92, 0.98, 1.0, 0.55])
    labels = np.array([0, 1, 1, 1, 0, 1])
    expected = (2 * abs(0.05 - 1 / 2) + 3 * abs(2.90 / 3 - 2 / 3) + abs(0.55 - 1)) / 6
    assert calibration.calibration_error(labels, probability) == pytest.approx(expected)
    assert calibration.reliability(labels, probability) == [
        {"predicted": pytest.approx(0.05), "observed": 0.5, "n": 2},
        {"predicted": pytest.approx(0.55), "observed": 1.0, "n": 1},
        {"predicted": pytest.approx(2.90 / 3), "observed": pytest.approx(2 / 3), "n": 3},
    ]


@pytest.mark.parametrize(
    ("distortion", "platt", "sign"),
    [
        ((2.5, 1.0), (0.4, -0.4), -1),  # back to honest probabilities
        ((1.0, 0.0), (0.5, 1.0), 1),  # away from them
    ],
)
def test_the_effect_of_scaling_is_a_paired_difference(distortion, platt, sign):
    labels, row = reported(*distortion, n=600, seed=2)
    before, choice = np.stack([row] * 2), Choice(0.5, platt, labels.mean())
    report = calibration.before_and_after(labels, before, [choice] * 2)
    difference, brier = report["brier_difference"], report["brier"]
    low, high = difference["ci95"]
    assert low < difference["difference"] < high and (low > 0) - (high < 0) == sign
    assert difference["difference"] == pytest.approx(brier["scaled"] - brier["as_trained"])
    alone = intervals.estimate(intervals.mean((before - labels) ** 2), bounded=False)["ci95"]
    assert high - low < alone[1] - alone[0], "pairing narrows the interval"


PROBABILITY = np.array([0.0, 1e-9, 0.1, 0.5, 0.93, 1 - 1e-9, 1.0])


def test_odds_change_by_the_factor_of_the_prior_odds():
    assert prevalence.shifted(0.8, 0.5, 0.2) == pytest.approx(0.5)  # odds 4, by a factor of 1/4
    assert prevalence.shifted(0.742, 0.742, 0.01) == pytest.approx(0.01), "of no evidence at all"
    moved = prevalence.shifted(PROBABILITY, 0.742, 0.05)
    assert (np.diff(moved) > 0).all() and (moved[0], moved[-1]) == (0, 1)
    assert prevalence.shifted(moved, 0.05, 0.742) == pytest.approx(PROBABILITY, abs=1e-7)


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(UserError, match=f"^share = {share}; accepted: above 0 and below 1"):
        prevalence.shifted(0.5, 0.5, share)
