"""The fast weighted scores against scikit-learn's, and the intervals against SciPy's bootstrap."""

import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics

from chestflow.measures import resampling, scores

SEEDS = range(20)


def example(seed: int, ties: bool = True, n: int = 60):
    """Random labels of both classes, scores (few distinct ones, if ties) and counts (3, n)."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.r_[0, 1, rng.integers(0, 2, n - 2)])
    probability = rng.random(n) * 0.7 + labels * 0.3 * rng.random(n)
    if ties:
        probability = np.round(probability, 1)
    return labels, probability, resampling.counts(n, 3, seed)


# ---------------------------------------------------------------------------- scores, resampled


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (resampling.auroc, metrics.roc_auc_score),
        (resampling.auprc, metrics.average_precision_score),
    ],
)
def test_ranking_scores_equal_those_of_sklearn(ours, theirs, ties):
    for seed in SEEDS:
        labels, probability, counts = example(seed, ties)
        expected = [theirs(labels, probability, sample_weight=w) for w in counts]
        assert ours(labels, probability, counts) == pytest.approx(expected, abs=1e-12)
        assert ours(labels, probability) == pytest.approx([theirs(labels, probability)], abs=1e-12)


def test_a_weight_counts_as_repetition():
    labels, probability, counts = example(1)
    for score in (resampling.auroc, resampling.auprc):
        repeated = [score(labels[i], probability[i])[0] for i in map(indices, counts)]
        assert score(labels, probability, counts) == pytest.approx(repeated)


def indices(counts: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts.astype(int))


@pytest.mark.parametrize("chunk", [1, 100])
def test_resamples_are_processed_in_chunks(chunk, monkeypatch):
    labels, probability, counts = example(2)
    for score in (resampling.auroc, resampling.auprc):
        at_once = score(labels, probability, counts)
        with monkeypatch.context() as patched:
            patched.setattr(resampling, "CHUNK", chunk)
            assert np.array_equal(score(labels, probability, counts), at_once)


def test_decisions_equal_those_of_sklearn():
    theirs = {
        "accuracy": metrics.accuracy_score,
        "precision": metrics.precision_score,
        "recall": metrics.recall_score,
        "f1": metrics.f1_score,
        "specificity": lambda y, p, **w: metrics.recall_score(y, p, pos_label=0, **w),
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "mcc": metrics.matthews_corrcoef,
    }
    for seed in SEEDS:
        labels, probability, counts = example(seed)
        predicted = probability >= 0.5
        ours = resampling.decisions(labels, predicted, counts)
        assert ours.keys() == theirs.keys()
        for name, score in theirs.items():
            expected = [score(labels, predicted, sample_weight=w) for w in counts]
            assert ours[name] == pytest.approx(expected, abs=1e-6), name


def test_undefined_scores_are_nan():
    labels, scored = np.array([0, 0, 1]), np.array([0.1, 0.2, 0.9])
    without_positives = np.array([[1.0, 2.0, 0.0]])
    for score in (resampling.auroc, resampling.auprc):
        assert np.isnan(score(labels, scored, without_positives)).all()
    decided = resampling.decisions(labels, scored > 0.5, without_positives)
    undefined = {name for name, values in decided.items() if np.isnan(values).all()}
    assert undefined == {"precision", "recall", "f1", "balanced_accuracy", "mcc"}
    assert resampling.interval(np.array([np.nan, 0.2, 0.2])) == [0.2, 0.2]


def test_counts_are_resamples_of_all_images():
    counts = resampling.counts(50, 400, seed=0)
    assert counts.shape == (400, 50) and (counts.sum(axis=1) == 50).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(50), abs=0.25)
    assert np.array_equal(counts, resampling.counts(50, 400, seed=0))
    assert not np.array_equal(counts, resampling.counts(50, 400, seed=1))


def test_interval_agrees_with_scipys_bootstrap():
    rng = np.random.default_rng(0)
    hits = rng.random(400) < 0.8
    counts = resampling.counts(len(hits), 4000, seed=0)
    ours = resampling.interval(counts @ hits / len(hits))
    theirs = stats.bootstrap(
        (hits.astype(float),), np.mean, n_resamples=4000, method="percentile", rng=rng
    ).confidence_interval
    assert ours == pytest.approx(list(theirs), abs=0.005)


# ------------------------------------------------------------------------------ scores, one by one


def test_calibration_error_by_hand():
    probability = np.array([0.05, 0.05, 0.92, 0.98, 1.0, 0.55])
    labels = np.array([0, 1, 1, 1, 0, 1])
    # bins: two images at .05, half of them positive; three at .9667, 2/3 positive; one at .55, all
    expected = (2 * abs(0.05 - 1 / 2) + 3 * abs(2.90 / 3 - 2 / 3) + abs(0.55 - 1)) / 6
    assert scores.calibration_error(labels, probability) == pytest.approx(expected)
    assert scores.reliability(labels, probability) == [
        {"predicted": pytest.approx(0.05), "observed": 0.5, "n": 2},
        {"predicted": pytest.approx(0.55), "observed": 1.0, "n": 1},
        {"predicted": pytest.approx(2.90 / 3), "observed": pytest.approx(2 / 3), "n": 3},
    ]


@pytest.mark.parametrize("ties", [True, False])
def test_best_threshold_has_the_highest_balanced_accuracy(ties):
    for seed in SEEDS:
        labels, probability, _ = example(seed, ties, n=30)
        chosen = scores.best_threshold(labels, probability)

        def gain(threshold, labels=labels, probability=probability):
            return metrics.balanced_accuracy_score(labels, probability >= threshold)

        cuts = np.unique(np.r_[0.0, probability, 1.1])
        middles = (cuts[:-1] + cuts[1:]) / 2
        gains = np.array([gain(t) for t in middles])
        assert gain(chosen) == pytest.approx(gains.max())
        nearest = np.abs(middles[np.isclose(gains, gains.max())] - 0.5).min()
        assert abs(chosen - 0.5) <= nearest + 0.5 * np.diff(cuts).max()
        assert 0 <= chosen <= 1


def test_best_threshold_lies_between_two_separate_classes():
    labels, probability = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    assert scores.best_threshold(labels, probability) == pytest.approx(0.5)
    assert scores.best_threshold(labels, probability / 10) == pytest.approx(0.05)


# ----------------------------------------------------------------------------------- calibration


def test_calibration_recovers_a_known_distortion():
    """Images drawn with known probabilities, reported too boldly and shifted."""
    generator = np.random.default_rng(0)
    true = generator.uniform(0.02, 0.98, 20_000)
    labels = (generator.random(20_000) < true).astype(int)
    reported = special.expit(2 * special.logit(true) - 1)
    slope, intercept = scores.calibration(labels, reported)
    assert (slope, intercept) == (pytest.approx(0.5, abs=0.03), pytest.approx(0.5, abs=0.06))
    assert np.abs(scores.calibrated(reported, slope, intercept) - true).max() < 0.02


def test_calibration_of_perfectly_separated_classes_is_finite():
    slope, intercept = scores.calibration(np.repeat([0, 1], 20), np.repeat([0.0, 1.0], 20))
    assert np.isfinite([slope, intercept]).all() and slope > 0
    after = scores.calibrated(np.array([0.0, 0.5, 1.0]), slope, intercept)
    assert 0 <= after[0] < after[1] < after[2] <= 1


def reported(distortion: tuple[float, float], n: int, seed: int):
    """Labels, and honest probabilities of them distorted by a slope and a shift of the logit."""
    generator = np.random.default_rng(seed)
    true = special.expit(generator.normal(0.5, 2, n))
    labels = (generator.random(n) < true).astype(int)
    return labels, scores.calibrated(true, *distortion)


@pytest.mark.parametrize(
    ("distortion", "used"), [((2.5, 1.0), True), ((0.4, 0.0), True), ((1.0, 0.0), False)]
)
def test_scaling_is_used_only_if_it_helps_on_images_it_was_not_fitted_on(distortion, used):
    labels, probability = reported(distortion, 500, seed=3)
    chosen, record = scores.choose_calibration(labels, probability)
    before, after = record["val_log_loss"]
    assert record["used"] == used == (after < before)
    assert before == pytest.approx(metrics.log_loss(labels, probability))
    fitted = scores.calibration(labels, probability)
    assert chosen == (fitted if used else (1.0, 0.0))
    assert scores.choose_calibration(labels, probability) == (chosen, record)
    on_its_own = metrics.log_loss(labels, scores.calibrated(probability, *fitted))
    assert on_its_own < after, "fitted images flatter, so they must not decide"


@pytest.mark.parametrize("labels", [[0, 1, 1, 1, 1], [0, 0, 1, 1]], ids=["one", "turned"])
def test_scaling_is_not_used_where_it_cannot_be_tried_or_would_turn_the_ranking(labels):
    """With one image of a class nothing is left to test on; a negative slope would let `predict`
    say the opposite of the decisions that were scored."""
    probability = np.linspace(0.9, 0.1, len(labels))
    chosen, record = scores.choose_calibration(np.array(labels), probability)
    assert (chosen, record["used"]) == ((1.0, 0.0), False)
    unchanged = scores.calibrated(probability, *chosen)
    assert unchanged == pytest.approx(probability)


@pytest.mark.parametrize(
    ("distortion", "sign"), [((2.5, 1.0), -1), ((1.0, 0.0), 1), ((1.05, 0.05), 0)]
)
def test_what_scaling_changed_is_paired_and_turns_with_its_effect(distortion, sign):
    """Back to honest probabilities from bold ones, away from honest ones, and hardly anywhere."""
    labels, before = reported(distortion, 600, seed=2)
    back = (0.5, 1.0) if sign == 1 else (1 / distortion[0], -distortion[1] / distortion[0])
    after = scores.calibrated(before, *back)
    found = scores.scaling(labels, before, after, resampling.counts(600, 500, seed=0))
    difference, low, high = found["brier_difference"]
    assert low < difference < high and (low > 0) - (high < 0) == sign
    assert difference == pytest.approx(found["brier"][1] - found["brier"][0])
    assert found["calibration_error"][0] == scores.calibration_error(labels, before)
    alone = (before - labels) ** 2
    low_alone, high_alone = resampling.interval(resampling.counts(600, 500, 0) @ alone / 600)
    assert high - low < high_alone - low_alone, "pairing narrows the interval"


# ----------------------------------------------------------------------------------- the report


@pytest.fixture(scope="module")
def report() -> dict:
    labels, probability, _ = example(3, ties=False, n=200)
    return scores.report(labels, probability, 0.6, (1.0, 0.0), resamples=500, seed=0)


def test_report_is_flat_where_dvc_shows_it(report):
    assert {name for name, value in report.items() if isinstance(value, float)} == {
        *scores.HEADLINE,
        "majority_accuracy",
    }
    assert report["n"] == 200
    assert set(report["ci95"]) == set(scores.HEADLINE)
    assert set(report["further"]) == {"mcc", "brier"}
    assert {name: len(values) for name, values in report["scaling"].items()} == {
        "calibration_error": 2,  # before and after, without an interval
        "brier": 2,
        "brier_difference": 3,
    }
    assert report["at_val_threshold"]["threshold"] == 0.6


def test_every_interval_contains_its_estimate(report):
    triples = [[report[name], *report["ci95"][name]] for name in scores.HEADLINE]
    triples += [report["further"][name] for name in ("mcc", "brier")]
    triples += [v for k, v in report["at_val_threshold"].items() if k != "threshold"]
    for value, low, high in triples:
        assert low < value < high and high - low < 0.4


def test_the_report_equals_sklearn():
    labels, probability, _ = example(3, ties=False, n=200)
    report = scores.report(labels, probability, 0.6, (1.0, 0.0), resamples=100, seed=0)
    assert report["auroc"] == pytest.approx(metrics.roc_auc_score(labels, probability))
    assert report["accuracy"] == pytest.approx(((probability >= 0.5) == labels).mean())
    at_threshold = report["at_val_threshold"]["accuracy"][0]
    assert at_threshold == pytest.approx(((probability >= 0.6) == labels).mean())
    assert report["further"]["brier"][0] == pytest.approx(((probability - labels) ** 2).mean())
    assert report["majority_accuracy"] == pytest.approx(max(labels.mean(), 1 - labels.mean()))


@pytest.mark.parametrize("constant", [0.2, 0.8])
def test_a_constant_prediction_is_reported_without_an_error(constant):
    """This happens with few labels; no score may raise or warn."""
    labels = np.repeat([0, 1], [15, 25])
    report = scores.report(labels, np.full(40, constant), 0.5, (1.0, 0.0), resamples=100, seed=0)
    assert report["auroc"] == report["balanced_accuracy"] == 0.5
    assert report["ci95"]["auroc"] == [0.5, 0.5]
    assert report["accuracy"] == pytest.approx((15 if constant < 0.5 else 25) / 40)
    # No image is called positive: precision and MCC are undefined, not 0.
    assert np.isnan(report["precision"]) == (constant < 0.5)
    assert np.isnan(report["further"]["mcc"]).all()
