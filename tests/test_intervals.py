"""Intervals over trainings and images: slow definitions beside the fast ones, how often they hold
the truth, and the ends where nothing varies or nothing is defined."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics

from chestflow.metrics import comparison, intervals
from chestflow.metrics.intervals import Measured

LABELS = np.repeat([0, 1], [17, 26])
Z = stats.norm.ppf(0.975)
PEERS = {
    "accuracy": metrics.accuracy_score,
    "precision": metrics.precision_score,
    "recall": metrics.recall_score,
    "specificity": lambda y_true, y_pred: metrics.recall_score(y_true, y_pred, pos_label=0),
    "f1": metrics.f1_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def ratings(rng, k: int) -> np.ndarray:
    """(K, N) scores with many ties, the diseased higher."""
    return rng.integers(0, 6, (k, len(LABELS))) + LABELS * rng.integers(0, 3, (k, len(LABELS)))


def covariance(measured: Measured) -> np.ndarray:
    return measured.influence @ measured.influence.T


def test_areas_and_covariance_are_delongs(rng):
    """By a loop over every pair of a positive and a negative image."""
    scores = ratings(rng, 4)
    wins = np.array(
        [
            [[(x > y) + (x == y) / 2 for y in row[LABELS == 0]] for x in row[LABELS == 1]]
            for row in scores
        ]
    )
    n1, n0 = wins.shape[1:]
    values = wins.mean(axis=(1, 2))
    of_positives, of_negatives = (wins.mean(axis=axis) - values[:, None] for axis in (2, 1))
    s10 = of_positives @ of_positives.T / (n1 - 1)
    s01 = of_negatives @ of_negatives.T / (n0 - 1)
    measured = intervals.auroc(LABELS, scores)
    assert measured.values == pytest.approx(values, abs=1e-14)
    assert covariance(measured) == pytest.approx(s10 / n1 + s01 / n0, abs=1e-15)


@pytest.mark.parametrize("name", PEERS)
def test_scores_of_decisions_vary_as_in_a_jackknife(rng, name):
    """Leaving out one image after the other, for the whole covariance between trainings."""
    predicted, n, score = (ratings(rng, 3) > 3).astype(int), len(LABELS), PEERS[name]
    left = [[score(np.delete(LABELS, i), np.delete(row, i)) for i in range(n)] for row in predicted]
    measured = intervals.decisions(LABELS, predicted)[name]
    assert measured.values == pytest.approx([score(LABELS, row) for row in predicted], abs=1e-14)
    assert covariance(measured) == pytest.approx(np.cov(left) * (n - 1) ** 2 / n, abs=1e-15)


def test_a_mean_has_the_variance_of_a_mean(rng):
    values = rng.normal(size=(3, 50))
    measured = intervals.mean(values)
    assert measured.values == pytest.approx(values.mean(axis=1), abs=1e-15)
    assert covariance(measured) == pytest.approx(np.cov(values) / 50, abs=1e-15)


@pytest.mark.parametrize(("influence", "images"), [([0.1, 0.2], 0.03 + 0.08), ([-0.1, -0.2], 0.0)])
def test_a_mean_varies_with_its_trainings_and_with_the_images_that_they_share(influence, images):
    """The covariance of two trainings over images; a negative one counts as none. The quantiles of
    t and of the normal weigh as much as these parts."""
    measured = Measured(np.array([0.6, 0.8]), np.array([influence, [0.3, 0.4]]))
    assert intervals.variance_parts(measured) == pytest.approx((0.01, images))
    t, total = stats.t.ppf(0.975, 1), 0.01 + images
    expected = (0.01 * t + images * Z) / total * np.sqrt(total)
    assert intervals.half_width(measured, 0.05) == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 3])
def test_p_is_the_level_whose_interval_ends_at_zero(rng, k):
    a, b = (intervals.auroc(LABELS, ratings(rng, k)) for _ in range(2))
    paired = a - b
    for level in (0.9, 0.05, 1e-6):
        for edge in intervals.interval(paired, level):
            moved = Measured(paired.values - edge, paired.influence)
            assert intervals.p_value(moved) == pytest.approx(level)


def test_one_training_has_delongs_interval(rng):
    measured = intervals.auroc(LABELS, ratings(rng, 1))
    estimate, se = intervals.estimate(measured, bounded=False), covariance(measured)[0, 0] ** 0.5
    assert estimate["sd"] is None and estimate["sd_images"] == pytest.approx(se)
    assert estimate["ci95"] == pytest.approx([measured.values[0] + z * se for z in (-Z, Z)])


def test_an_interval_stays_between_0_and_1():
    near = 0.996
    measured = Measured(near + np.array([-0.003, 0, 0.003]), np.full((3, 4), 0.002))
    symmetric = intervals.estimate(measured, bounded=False)["ci95"]
    low, high = intervals.estimate(measured)["ci95"]
    assert symmetric[1] > 1 > high > near > low > 0
    odds = special.logit([low, near, high])
    assert odds[1] - odds[0] == pytest.approx(odds[2] - odds[1]), "symmetric in the log odds"


def test_intervals_hold_the_truth_and_equal_runs_are_rarely_called_different(rng):
    """In a model whose truth is known: trainings shift the separation of the classes, and share
    most of the images' noise. `benchmarks.coverage` measures it precisely."""
    labels, apart, sd, k = np.repeat([0, 1], 60), 2.0, 0.2, 5
    truth = stats.norm.cdf(apart / np.sqrt(2 + sd**2))
    covered, different = [], []
    for _ in range(300):
        noise = np.sqrt(0.7) * rng.normal(size=120) + np.sqrt(0.3) * rng.normal(size=(2, k, 120))
        scores = labels * (apart + sd * rng.normal(size=(2, k, 1))) + noise
        a, b = (intervals.auroc(labels, run) for run in scores)
        low, high = intervals.estimate(a)["ci95"]
        covered.append(low < truth < high)
        different.append(intervals.p_value(a - b) < 0.05)
    assert 0.91 < np.mean(covered) < 0.99 and np.mean(different) < 0.09


def test_perfect_in_every_training():
    perfect, opposite = (intervals.auroc(LABELS, np.tile(s * LABELS, (3, 1))) for s in (1, -1))
    expected = {"value": 1.0, "ci95": [1.0, 1.0], "sd": 0.0, "sd_images": 0.0}
    assert intervals.estimate(perfect) == expected
    difference = comparison.paired_difference(perfect, opposite)
    assert difference == {"difference": 1, "ci95": [1, 1]}
    assert intervals.p_value(perfect - opposite) == 0


@pytest.mark.parametrize("k", [1, 3])
def test_what_is_not_defined_is_nan(k):
    """Warnings are errors here."""
    never = intervals.decisions(LABELS, np.zeros((k, len(LABELS)), int))
    one_class = intervals.auroc(np.ones(20, int), np.tile(np.arange(20.0), (k, 1)))
    for measured in (never["precision"], one_class):
        estimate, p = intervals.estimate(measured), intervals.p_value(measured - measured)
        assert np.isnan([estimate["value"], *estimate["ci95"], estimate["sd_images"], p]).all()
    one_positive = intervals.auroc(np.array([0, 0, 0, 1]), np.tile([1.0, 2, 4, 3], (k, 1)))
    estimate = intervals.estimate(one_positive)
    assert estimate["value"] == pytest.approx(2 / 3)
    assert np.isnan(estimate["ci95"]).all(), "one image has no variance"


VANDYKE = Path(__file__).parents[2] / "shared/mrmc/vandyke.csv"


@pytest.fixture(scope="module")
def vandyke() -> tuple[np.ndarray, np.ndarray]:
    """Truth (114,) and ratings (2 treatments, 5 readers, 114 cases): the published example of Van
    Dyke et al. (1993). Readers are trainings, treatments are runs, and cases are images."""
    if not VANDYKE.exists():
        pytest.skip("needs shared/mrmc/vandyke.csv")
    truth, ratings = np.full(114, -1), np.full((2, 5, 114), np.nan)
    with VANDYKE.open() as file:
        for row in csv.DictReader(file):
            treatment, reader, case = (int(row[key]) - 1 for key in ("treatment", "reader", "case"))
            truth[case], ratings[treatment, reader, case] = int(row["truth"]), float(row["rating"])
    return truth, ratings


@pytest.mark.parametrize(
    ("which", "value", "se", "df", "ci95"),
    [
        ("difference", -0.04380032, 0.0206825, 15.06611, [-0.0878671960, 0.0002665519]),
        (0, 0.8970370, 0.03307642, 12.59597, [0.8253461, 0.9687280]),
        (1, 0.9408374, 0.02150464, 12.56530, [0.8942155, 0.9874592]),
    ],
)
def test_intervals_of_a_treatment_and_of_the_difference(vandyke, which, value, se, df, ci95):
    """Figures as the R package MRMCaov prints them."""
    truth, ratings = vandyke
    one, two = treatments = [intervals.auroc(truth, treatment) for treatment in ratings]
    measured = one - two if which == "difference" else treatments[which]
    readers, cases = intervals.variance_parts(measured)
    mean, own_se = measured.values.mean(), (readers + cases) ** 0.5
    assert (mean, own_se) == (pytest.approx(value, abs=1e-7), pytest.approx(se, abs=5e-8))
    # Degrees of freedom of Hillis (2007); this project takes a weighted mean of two quantiles.
    own_df = 4 * ((readers + cases) / readers) ** 2
    assert own_df == pytest.approx(df, abs=5.1e-6)
    half = stats.t.ppf(0.975, own_df) * own_se
    assert [mean - half, mean + half] == pytest.approx(ci95, abs=5.1e-8)
