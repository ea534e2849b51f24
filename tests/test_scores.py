"""A run's metrics file: scores of all its trainings beside scikit-learn's, with their intervals."""

import numpy as np
import pytest
import samples
from sklearn import metrics

from chestflow.metrics import scores
from chestflow.metrics.calibration import IDENTITY, Choice

LABELS = samples.labels_of("test")
PROBABILITY = samples.probabilities(LABELS, 0.6, 3)
THRESHOLDS = (0.3, 0.6, 0.5)
CHOICES = [Choice(threshold, IDENTITY, share=0.5) for threshold in THRESHOLDS]


@pytest.fixture(scope="module")
def report() -> dict:
    return scores.report(LABELS, PROBABILITY, CHOICES, representative=1)


def test_a_score_is_the_mean_of_what_sklearn_says_of_each_training(report):
    """The other scores of decisions are compared with sklearn's in test_intervals.py."""
    decided = PROBABILITY >= 0.5
    peers = {
        "accuracy": (metrics.accuracy_score, decided),
        "auroc": (metrics.roc_auc_score, PROBABILITY),
        "auprc": (metrics.average_precision_score, PROBABILITY),
    }
    assert report["majority_accuracy"] == 5 / 8 and report["far_below"] == []
    for name, (score, given) in peers.items():
        each = [score(LABELS, row) for row in given]
        assert report["each"][name] == pytest.approx(each), name
        assert report[name] == pytest.approx(np.mean(each)), name
        assert report["sd"][name] == pytest.approx(np.std(each, ddof=1)) != 0, name


def test_every_training_is_scored_at_its_own_threshold(report):
    at = report["at_val_threshold"]
    expected = ((np.reshape(THRESHOLDS, (3, 1)) <= PROBABILITY) == LABELS).mean()
    assert at["accuracy"][0] == pytest.approx(expected) != report["accuracy"]
    assert at["threshold"] == 0.6, "of the representative training"


def test_every_score_but_average_precision_has_an_interval(report):
    assert set(report["ci95"]) == {*report["each"]} - {"auprc"} > {*scores.HEADLINE}
    for name, (low, high) in report["ci95"].items():
        assert low < report[name] < high, name
    once = scores.report(LABELS, PROBABILITY[:1], CHOICES[:1], representative=0)
    assert set(once["sd"].values()) == {None} and once["trainings"] == 1


@pytest.mark.parametrize("constant", [0.2, 0.8])
def test_a_constant_prediction_is_reported_without_an_error(constant):
    """This happens with few labels; no score may raise or warn."""
    labels = np.repeat([0, 1], [15, 25])
    report = scores.report(labels, np.full((2, 40), constant), CHOICES[:2], representative=0)
    assert report["auroc"] == report["balanced_accuracy"] == 0.5
    assert report["ci95"]["auroc"] == [0.5, 0.5]
    assert report["accuracy"] == pytest.approx((15 if constant < 0.5 else 25) / 40)
    # No image is called positive: precision is undefined, not 0.
    assert np.isnan(report["precision"]) == (constant < 0.5)


FAR = [
    ([0.95, 0.94, 0.96], []),
    ([0.95, 0.85, 0.96], [1]),
    ([0.95, 0.91, 0.951], []),  # many robust sds, but less than .05
    ([0.95, 0.80, 0.90], []),  # .125, but the others differ by .05
    ([0.95, 0.951, 0.84, 0.952, 0.86], [2, 4]),
    ([0.95, 1.0, 0.951], []),  # above
    ([0.95, 0.5], []),  # of two, either may be the odd one
    ([float("nan")] * 3, []),
]


@pytest.mark.parametrize(("values", "expected"), FAR)
def test_a_training_far_below_the_others_is_named(values, expected):
    assert scores.far_below(np.array(values)) == expected
