"""Readers, runs and images: the published example, slow definitions beside fast ones, and the ends
where nothing varies or nothing is defined."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks import coverage
from chestflow.metrics import comparison, intervals

VANDYKE = Path(__file__).parents[2] / "shared/mrmc/vandyke.csv"
SCORES = ("accuracy", "precision", "recall", "specificity", "f1", "balanced_accuracy", "mcc")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def labels() -> np.ndarray:
    return np.repeat([0, 1], [17, 26])


def ratings(rng, labels, k: int, levels: int = 6) -> np.ndarray:
    """(K, N) scores with many ties, the diseased higher."""
    return rng.integers(0, levels, (k, len(labels))) + labels * rng.integers(0, 3, (k, len(labels)))


def covariance(measured: intervals.Measured) -> np.ndarray:
    return measured.influence @ measured.influence.T


# ---------------------------------------------------------------------------- the published example


@pytest.fixture(scope="module")
def vandyke() -> tuple[np.ndarray, np.ndarray]:
    """Truth (114,) and ratings (2 treatments, 5 readers, 114 cases)."""
    if not VANDYKE.exists():
        pytest.skip("needs shared/mrmc/vandyke.csv")
    truth, rating = np.full(114, -1), np.full((2, 5, 114), np.nan)
    with VANDYKE.open() as file:
        for row in csv.DictReader(file):
            case = int(row["case"]) - 1
            truth[case] = int(row["truth"])
            rating[int(row["treatment"]) - 1, int(row["reader"]) - 1, case] = float(row["rating"])
    assert (truth == 1).sum() == 45 and not np.isnan(rating).any()
    return truth, rating


@pytest.fixture(scope="module")
def treatments(vandyke) -> list[intervals.Measured]:
    truth, rating = vandyke
    return [intervals.auroc(truth, scores) for scores in rating]


def test_areas_of_vandyke(treatments):
    published = [
        [0.919646, 0.858776, 0.903865, 0.973108, 0.829791],
        [0.947826, 0.905314, 0.921739, 0.999356, 0.929952],
    ]
    assert np.array([run.values for run in treatments]) == pytest.approx(
        np.array(published), abs=5e-7
    )


def test_analysis_of_vandyke(treatments):
    found = intervals.analysis(treatments)
    assert found.ms_t == pytest.approx(0.004796171, abs=5e-10)
    assert found.ms_tr == pytest.approx(0.0005510306, abs=5e-11)
    covariances = (found.error, found.cov1, found.cov2, found.cov3)
    published = (0.0007921325, 0.0003420090, 0.0003395265, 0.0002358497)
    assert covariances == pytest.approx(published, abs=5.1e-11)
    assert (found.f, found.df1) == (pytest.approx(4.484854, abs=5e-7), 1)
    assert found.df2 == pytest.approx(15.06611, abs=5e-6)
    assert found.p == pytest.approx(0.05123303, abs=5e-9)


@pytest.mark.parametrize(
    "which, value, se, df, low, high",
    [
        ("difference", -0.04380032, 0.0206825, 15.06611, -0.0878671960, 0.0002665519),
        (0, 0.8970370, 0.03307642, 12.59597, 0.8253461, 0.9687280),
        (1, 0.9408374, 0.02150464, 12.56530, 0.8942155, 0.9874592),
    ],
)
def test_intervals_of_vandyke(treatments, which, value, se, df, low, high):
    """The variances that `estimate` and `difference` take, with the published quantile."""
    one, two = treatments
    measured = one - two if which == "difference" else treatments[which]
    variance, centre = intervals.variance_of(measured), measured.values.mean()
    half = stats.t.ppf(0.975, variance.hillis) * variance.se
    assert (centre, variance.se) == (pytest.approx(value, abs=1e-7), pytest.approx(se, abs=5e-8))
    assert variance.hillis == pytest.approx(df, abs=5.1e-6)
    assert [centre - half, centre + half] == pytest.approx([low, high], abs=5.1e-8)


def test_sensitivity_of_vandyke(vandyke):
    """Published of rating >= 3, by a jackknife over the diseased alone."""
    truth, rating = vandyke
    diseased = truth == 1
    runs = [intervals.decisions(truth[diseased], run[:, diseased] >= 3)["recall"] for run in rating]
    assert [run.values.mean() for run in runs] == pytest.approx([0.8222222, 0.92], abs=5e-8)
    found = intervals.analysis(runs)
    assert found.ms_t == pytest.approx(0.02390123, abs=5e-9)
    assert found.ms_tr == pytest.approx(0.001802469, abs=5e-10)
    assert found.cov2 == pytest.approx(0.00101459, abs=5e-9)
    assert found.cov3 == pytest.approx(0.0006604938, abs=5e-11)
    assert (found.f, found.df2) == (
        pytest.approx(6.689493, abs=5e-7),
        pytest.approx(15.71732, 1e-6),
    )
    assert found.p == pytest.approx(0.02008822, abs=5e-9)


# --------------------------------------------------------------------- fast beside their definition


def test_areas_and_covariance_are_delongs(rng, labels):
    """By a loop over every pair of a positive and a negative image."""
    scores = ratings(rng, labels, 4)
    wins = np.array(
        [
            [[(x > y) + (x == y) / 2 for y in row[labels == 0]] for x in row[labels == 1]]
            for row in scores
        ]
    )
    n1, n0 = wins.shape[1:]
    values = wins.mean(axis=(1, 2))
    of_positives, of_negatives = (wins.mean(axis=axis) - values[:, None] for axis in (2, 1))
    s10 = of_positives @ of_positives.T / (n1 - 1)
    s01 = of_negatives @ of_negatives.T / (n0 - 1)
    found = intervals.auroc(labels, scores)
    assert found.values == pytest.approx(values, abs=1e-14)
    assert covariance(found) == pytest.approx(s10 / n1 + s01 / n0, abs=1e-15)


def test_influence_belongs_to_its_image(rng, labels):
    """Raising a positive's score raises its influence; the order of images does not matter."""
    scores, order = ratings(rng, labels, 3), rng.permutation(len(labels))
    found, shuffled = (
        intervals.auroc(labels, scores),
        intervals.auroc(labels[order], scores[:, order]),
    )
    assert shuffled.influence == pytest.approx(found.influence[:, order], abs=1e-15)
    scores[:, -1] = 99
    better = intervals.auroc(labels, scores)
    assert (better.values >= found.values).all()
    assert (better.influence[:, -1] == better.influence[:, labels == 1].max(axis=1)).all()


def by_definition(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    yes, said = labels == 1, predicted == 1
    precision, recall = yes[said].mean(), said[yes].mean()
    specificity = (~said)[~yes].mean()
    return {
        "accuracy": (yes == said).mean(),
        "precision": precision,
        "recall": recall,
        "specificity": specificity,
        "f1": 2 * precision * recall / (precision + recall),
        "balanced_accuracy": (recall + specificity) / 2,
        "mcc": np.corrcoef(yes, said)[0, 1],
    }


@pytest.mark.parametrize("name", SCORES)
def test_decisions_are_those_of_a_jackknife(rng, labels, name):
    """Leaving out one image after the other, for the whole covariance between trainings."""
    predicted, n = (ratings(rng, labels, 3) > 3).astype(int), len(labels)
    left = np.array(
        [
            [by_definition(np.delete(labels, i), np.delete(row, i))[name] for i in range(n)]
            for row in predicted
        ]
    )
    found = intervals.decisions(labels, predicted)[name]
    expected = [by_definition(labels, row)[name] for row in predicted]
    assert found.values == pytest.approx(expected, abs=1e-14)
    assert covariance(found) == pytest.approx(np.cov(left) * (n - 1) ** 2 / n, abs=1e-15)


def test_a_mean_has_the_variance_of_a_mean(rng):
    values = rng.normal(size=(3, 50))
    found = intervals.mean(values)
    assert found.values == pytest.approx(values.mean(axis=1), abs=1e-15)
    assert covariance(found) == pytest.approx(np.cov(values) / 50, abs=1e-15)


def test_accuracy_is_a_mean_of_hits(rng, labels):
    """So that `benchmarks.coverage` may take one for the other."""
    predicted = (ratings(rng, labels, 3) > 3).astype(int)
    hits = intervals.mean((predicted == labels).astype(float))
    found = intervals.decisions(labels, predicted)["accuracy"]
    assert found.influence == pytest.approx(hits.influence, abs=1e-15)


# ------------------------------------------------------------------------ intervals and differences


def test_the_difference_of_two_runs_is_the_analysis_of_two(rng, labels):
    runs = [intervals.auroc(labels, ratings(rng, labels, 4)) for _ in range(2)]
    found, variance = intervals.analysis(runs), intervals.variance_of(runs[0] - runs[1])
    value = (runs[0] - runs[1]).values.mean()
    assert found.f == pytest.approx((value / variance.se) ** 2, rel=1e-9)
    assert found.df2 == pytest.approx(variance.hillis, rel=1e-9)


def test_more_runs_than_two(rng, labels):
    """Without images that trainings share (Cov2 below Cov3), F is that of a two-way ANOVA."""
    scores = rng.normal(0.8, 0.05, (3, 4))
    found = intervals.analysis([intervals.Measured(row, np.zeros((4, 5))) for row in scores])
    residual = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    between = 4 * ((scores.mean(axis=1) - scores.mean()) ** 2).sum() / 2
    assert found.f == pytest.approx(between / ((residual**2).sum() / 6))
    assert (found.df1, found.df2) == (2, pytest.approx(6))
    assert found.p == pytest.approx(stats.f.sf(found.f, 2, 6))


def test_the_critical_value_lies_between_t_and_normal():
    t, normal = stats.t.ppf(0.975, 2), stats.norm.ppf(0.975)
    assert intervals.Variance(1.0, 0.0, 2).critical(0.05) == pytest.approx(t)
    assert intervals.Variance(0.0, 1.0, 2).critical(0.05) == pytest.approx(normal)
    assert intervals.Variance(1.0, 3.0, 2).critical(0.05) == pytest.approx((t + 3 * normal) / 4)


def test_images_that_trainings_do_not_share_add_nothing():
    """A negative estimate of the covariance counts as 0."""
    measured = intervals.Measured(np.array([0.7, 0.8]), np.array([[0.1, -0.1], [-0.1, 0.1]]))
    variance = intervals.variance_of(measured)
    assert (variance.trainings, variance.images) == (pytest.approx(0.0025), 0.0)


def test_differences_are_antisymmetric(rng, labels):
    a, b = (intervals.auroc(labels, ratings(rng, labels, 3)) for _ in range(2))
    there, back = comparison.paired_difference(a, b), comparison.paired_difference(b, a)
    assert there["difference"] == pytest.approx(-back["difference"]) != 0
    assert there["ci95"] == pytest.approx([-end for end in reversed(back["ci95"])])
    assert (there["p"], there["sd"]) == pytest.approx((back["p"], back["sd"]))


@pytest.mark.parametrize("k", [1, 3])
def test_p_is_the_level_whose_interval_ends_at_zero(rng, labels, k):
    a, b = (intervals.auroc(labels, ratings(rng, labels, k)) for _ in range(2))
    variance = intervals.variance_of(a - b)
    for level in (0.9, 0.05, 1e-6):
        edge = variance.se * variance.critical(level)
        assert variance.p(edge) == variance.p(-edge) == pytest.approx(level)
    edge = variance.half_width()
    assert variance.p(edge * 1.0001) < 0.05 < variance.p(edge * 0.9999)


def test_trainings_are_paired(rng, labels):
    """What a training does to both runs alike does not blur their difference."""
    shared, own = rng.normal(0, 0.05, 5), rng.normal(0, 0.001, 5)
    a = intervals.Measured(0.8 + shared + own, np.zeros((5, 4)))
    b = intervals.Measured(0.7 + shared, np.zeros((5, 4)))
    assert comparison.paired_difference(a, b)["sd"] == pytest.approx(own.std(ddof=1))
    assert comparison.paired_difference(a, b)["p"] < 1e-6
    with pytest.raises(ValueError, match=r"\(5, 4\) and \(3, 4\)"):
        comparison.paired_difference(a, intervals.Measured(b.values[:3], b.influence[:3]))


def test_one_training_has_delongs_interval(rng, labels):
    a, b = (intervals.auroc(labels, ratings(rng, labels, 1)) for _ in range(2))
    plain = intervals.estimate(a, (None, None))
    se = np.sqrt(covariance(a)[0, 0])
    assert plain["sd"] is None and plain["sd_images"] == pytest.approx(se)
    assert plain["ci95"] == pytest.approx([a.values[0] + s * 1.959964 * se for s in (-1, 1)])
    found, se = comparison.paired_difference(a, b), np.sqrt(covariance(a - b)[0, 0])
    assert found["p"] == pytest.approx(2 * stats.norm.sf(abs(found["difference"]) / se))
    assert found["sd"] is None


def test_the_spread_over_trainings_and_over_images():
    measured = intervals.Measured(np.array([0.6, 0.7, 0.8]), np.diag([0.1, 0.2, 0.2]))
    found = intervals.estimate(measured)
    assert found["value"] == pytest.approx(0.7)
    assert (found["sd"], found["sd_images"]) == pytest.approx((0.1, np.sqrt(0.03)))


@pytest.mark.parametrize("low, high", [(0, 1), (-1, 1)])
def test_log_odds_keep_an_interval_within_its_bounds(low, high):
    near = high - 0.004
    measured = intervals.Measured(near + np.array([-0.003, 0, 0.003]), np.full((3, 4), 0.002))
    plain, found = (
        intervals.estimate(measured, (None, None)),
        intervals.estimate(measured, (low, high)),
    )
    assert plain["ci95"][1] > high > found["ci95"][1] > near > found["ci95"][0] > low
    half = (plain["ci95"][1] - plain["ci95"][0]) / 2
    share, slope = (near - low) / (high - low), (high - low) / ((near - low) * (high - near))
    odds = [np.log(share / (1 - share)) + sign * slope * half for sign in (-1, 1)]
    expected = [low + (high - low) / (1 + np.exp(-end)) for end in odds]
    assert found["ci95"] == pytest.approx(expected, rel=1e-12)


# ------------------------------------------------------------------ nothing varies, nothing defined


def test_equal_runs_do_not_differ(rng, labels):
    for k in (1, 3):
        run = intervals.auroc(labels, ratings(rng, labels, k))
        found = comparison.paired_difference(run, run)
        assert (found["difference"], found["ci95"], found["p"]) == (0, [0, 0], 1)
        assert found["sd"] == (None if k == 1 else 0)


def test_perfect_in_every_training(labels):
    perfect = intervals.auroc(labels, np.tile(labels, (3, 1)))
    expected = {"value": 1.0, "ci95": [1.0, 1.0], "sd": 0.0, "sd_images": 0.0}
    assert intervals.estimate(perfect) == expected
    opposite = comparison.paired_difference(
        perfect, intervals.auroc(labels, np.tile(-labels, (3, 1)))
    )
    assert (opposite["difference"], opposite["ci95"], opposite["p"]) == (1, [1, 1], 0)


def test_equal_in_every_training(rng, labels):
    """Three times the same network: K adds nothing, and images vary as with one."""
    scores = ratings(rng, labels, 1)
    once, thrice = (intervals.auroc(labels, np.repeat(scores, k, axis=0)) for k in (1, 3))
    one, three = intervals.estimate(once), intervals.estimate(thrice)
    assert three["sd"] == 0 and three["ci95"] == pytest.approx(one["ci95"])


@pytest.mark.parametrize("k", [1, 3])
def test_what_is_not_defined_is_nan(labels, k):
    """Warnings are errors here."""
    never = intervals.decisions(labels, np.zeros((k, len(labels)), int))
    missing = intervals.auroc(np.ones(20, int), np.tile(np.arange(20.0), (k, 1)))
    single = intervals.auroc(np.array([0, 0, 0, 1]), np.tile([1.0, 2, 4, 3], (k, 1)))
    for measured in (never["precision"], never["mcc"], missing):
        found, apart = (
            intervals.estimate(measured),
            comparison.paired_difference(measured, measured),
        )
        assert np.isnan([found["value"], *found["ci95"], found["sd_images"]]).all()
        assert np.isnan([apart["difference"], *apart["ci95"], apart["p"]]).all()
    assert intervals.estimate(single)["value"] == pytest.approx(2 / 3)
    assert np.isnan(intervals.estimate(single)["ci95"]).all(), "one positive has no variance"
    assert (never["recall"].values == 0).all() and (never["specificity"].values == 1).all()


def test_one_training_without_a_score_leaves_none(labels):
    predicted = np.stack([labels, labels, np.zeros_like(labels)])
    precision = intervals.decisions(labels, predicted)["precision"]
    assert np.isnan(precision.values).tolist() == [False, False, True]
    found = intervals.estimate(precision)
    assert np.isnan([found["value"], *found["ci95"], found["sd"]]).all()


# ----------------------------------------------------------------------------------- the simulation


def test_truth_of_the_simulated_model():
    """The formulas of the true AUROC, accuracy and spread, beside many drawn trainings."""
    rng, sd = np.random.default_rng(1), coverage.sd_of_separation(0.95, 0.015)
    apart = coverage.separation(0.95, sd)
    areas = stats.norm.cdf((apart + sd * rng.standard_normal(200_000)) / np.sqrt(2))
    assert areas.mean() == pytest.approx(0.95, abs=2e-4)
    assert areas.std() == pytest.approx(0.015, abs=2e-4)
    scores = np.concatenate(
        [coverage.sample(rng, [apart] * 3, sd, True, 0.1).reshape(-1, 624) for _ in range(4)]
    )
    measured = coverage.measures(scores)
    assert measured["auroc"].values.mean() == pytest.approx(0.95, abs=2e-3)
    accuracy = stats.norm.cdf(apart / 2 / np.sqrt(1 + sd**2 / 4 + coverage.SHIFT**2))
    assert measured["accuracy"].values.mean() == pytest.approx(accuracy, abs=3e-3)
