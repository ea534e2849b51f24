"""Scores against scikit-learn's, calibration against known distortions, and a run's report of all
its trainings."""

import numpy as np
import pytest
from samples import labels_of, probabilities
from scipy import special
from sklearn import metrics

from chestflow import files
from chestflow.metrics import intervals, scores

SEEDS = range(20)


def example(seed: int, ties: bool = True, n: int = 60):
    """Random labels of both classes, and scores; few distinct ones, if ties."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.r_[0, 1, rng.integers(0, 2, n - 2)])
    probability = rng.random(n) * 0.7 + labels * 0.3 * rng.random(n)
    return labels, np.round(probability, 1) if ties else probability


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
        labels, probability = example(seed, ties, n=30)
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
    chosen, (before, after) = scores.choose_calibration(labels, probability)
    assert used == (after < before)
    assert before == pytest.approx(metrics.log_loss(labels, probability))
    fitted = scores.calibration(labels, probability)
    assert chosen == (fitted if used else (1.0, 0.0))
    assert scores.choose_calibration(labels, probability) == (chosen, (before, after))
    on_its_own = metrics.log_loss(labels, scores.calibrated(probability, *fitted))
    assert on_its_own < after, "fitted images flatter, so they must not decide"


@pytest.mark.parametrize("labels", [[0, 1, 1, 1, 1], [0, 0, 1, 1]], ids=["one", "turned"])
def test_scaling_is_not_used_where_it_cannot_be_tried_or_would_turn_the_ranking(labels):
    """With one image of a class nothing is left to test on; a negative slope would let `predict`
    say the opposite of the decisions that were scored."""
    probability = np.linspace(0.9, 0.1, len(labels))
    chosen, _ = scores.choose_calibration(np.array(labels), probability)
    assert chosen == scores.AS_IT_IS
    unchanged = scores.calibrated(probability, *chosen)
    assert unchanged == pytest.approx(probability)


def settled(threshold=0.6, calibration=scores.AS_IT_IS, log_loss=(0.3, 0.2), share=0.5):
    return scores.Choice(threshold, calibration, log_loss, share)


@pytest.mark.parametrize(
    ("distortion", "sign"), [((2.5, 1.0), -1), ((1.0, 0.0), 1), ((1.05, 0.05), 0)]
)
def test_what_scaling_changed_is_paired_and_turns_with_its_effect(distortion, sign):
    """Back to honest probabilities from bold ones, away from honest ones, and hardly anywhere."""
    drawn = [reported(distortion, 600, seed=2)[1] for _ in range(2)]
    labels, before = reported(distortion, 600, seed=2)[0], np.stack(drawn)
    back = (0.5, 1.0) if sign == 1 else (1 / distortion[0], -distortion[1] / distortion[0])
    found = scores.scaling(labels, before, [settled(calibration=back, share=labels.mean())] * 2)
    difference = found["brier_difference"]["scaled"]
    low, high = difference["ci95"]
    assert low < difference["difference"] < high and (low > 0) - (high < 0) == sign
    brier = found["brier"]
    assert difference["difference"] == pytest.approx(brier["scaled"] - brier["as_trained"])
    error = found["calibration_error"]["as_trained"]
    assert error == pytest.approx(scores.calibration_error(labels, before[0]))
    alone = intervals.estimate(intervals.mean((before - labels) ** 2), bounds=(None, None))["ci95"]
    assert high - low < alone[1] - alone[0], "pairing narrows the interval"
    # The share assumed is that of the test images: moving it changes nothing.
    assert brier["at_test_share"] == pytest.approx(brier["scaled"])


def test_the_share_of_the_test_images_mends_probabilities_fitted_at_another():
    rng = np.random.default_rng(0)
    true = special.expit(rng.normal(-1.5, 1.5, 4000))
    labels = (rng.random(4000) < true).astype(int)
    odds = np.log(labels.mean() / (1 - labels.mean()))  # as if trained where classes are equal
    bold = np.stack([special.expit(special.logit(true) - odds)] * 2)
    found = scores.scaling(labels, bold, [settled(share=0.5)] * 2)
    assert found["share"] == {"before": 0.5, "test": labels.mean()} and found["used"] == 0
    assert found["brier_difference"]["at_test_share"]["ci95"][1] < 0
    errors = found["calibration_error"]
    assert errors["at_test_share"] < 0.05 < errors["as_trained"]
    assert errors["scaled"] == pytest.approx(errors["as_trained"])


def test_validation_settles_threshold_calibration_and_share():
    """Scaling fits validation's share of disease; without it, the loss's share remains."""
    labels, bold = reported((2.5, 1.0), 500, seed=3)
    found = scores.choose(labels, bold, trained_share=0.5)
    assert found.scales and found.calibration == scores.calibration(labels, bold)
    assert found.share == labels.mean() != 0.5 and found.log_loss[1] < found.log_loss[0]
    assert found.threshold == scores.best_threshold(labels, bold)
    labels, honest = reported((1.0, 0.0), 500, seed=3)
    found = scores.choose(labels, honest, trained_share=0.5)
    assert not found.scales and found.calibration == scores.AS_IT_IS and found.share == 0.5
    few = scores.choose(np.array([0, 1, 1]), np.array([0.1, 0.6, 0.7]), trained_share=0.5)
    assert not few.scales and np.isnan(few.log_loss[1])


# ----------------------------------------------------------------------------------- the report

LABELS = labels_of("test")
PROBABILITY = probabilities(LABELS, 0.6, trainings=3)
SETTLED = [settled(threshold) for threshold in (0.3, 0.6, 0.5)]


@pytest.fixture(scope="module")
def report() -> dict:
    return scores.report(LABELS, PROBABILITY, SETTLED, shown=1)


def test_report_is_flat_where_dvc_shows_it(report):
    assert {name for name, value in report.items() if isinstance(value, float)} == {
        *scores.HEADLINE,
        "majority_accuracy",
        "share",
    }
    assert (report["n"], report["trainings"], report["shown"]) == (80, 3, 1)
    assert set(report["ci95"]) == {*scores.HEADLINE, "mcc", "brier"} - {"auprc"}
    assert set(report["sd"]) == set(scores.HEADLINE) and "auprc" not in report["sd_images"]
    assert set(report["further"]) == {"mcc", "brier"}
    assert report["at_val_threshold"]["threshold"] == 0.6  # of the training that is shown


def test_a_score_is_the_mean_of_what_sklearn_says_of_each_training(report):
    decided = PROBABILITY >= 0.5
    theirs = {
        "accuracy": (metrics.accuracy_score, decided),
        "precision": (metrics.precision_score, decided),
        "recall": (metrics.recall_score, decided),
        "f1": (metrics.f1_score, decided),
        "specificity": (lambda y, p: metrics.recall_score(y, p, pos_label=0), decided),
        "balanced_accuracy": (metrics.balanced_accuracy_score, decided),
        "mcc": (metrics.matthews_corrcoef, decided),
        "auroc": (metrics.roc_auc_score, PROBABILITY),
        "auprc": (metrics.average_precision_score, PROBABILITY),
        "brier": (metrics.brier_score_loss, PROBABILITY),
    }
    assert set(report["each"]) == set(theirs)
    for name, (score, given) in theirs.items():
        each = [score(LABELS, row) for row in given]
        assert report["each"][name] == pytest.approx(each), name
        mean = report["further"][name] if name in report["further"] else report[name]
        assert mean == pytest.approx(np.mean(each)), name
        if name in scores.HEADLINE:
            assert report["sd"][name] == pytest.approx(np.std(each, ddof=1)), name
            assert report["sd"][name] > 0, name
    assert report["majority_accuracy"] == pytest.approx(max(LABELS.mean(), 1 - LABELS.mean()))


def test_every_training_is_scored_at_the_threshold_that_its_own_validation_chose(report):
    at = report["at_val_threshold"]
    thresholds = np.array([[0.3], [0.6], [0.5]])
    expected = ((thresholds <= PROBABILITY) == LABELS).mean()
    assert at["accuracy"][0] == pytest.approx(expected) != report["accuracy"]
    for name, (value, low, high) in ((k, v) for k, v in at.items() if k != "threshold"):
        assert low < value < high, name


def test_every_interval_contains_its_estimate_and_grows_with_the_spread(report):
    for name, (low, high) in report["ci95"].items():
        value = report["further"][name] if name in report["further"] else report[name]
        widest = 1.2 if name == "mcc" else 0.6  # from -1 to 1 instead of from 0 to 1
        assert low < value < high and high - low < widest, name
    once = scores.report(LABELS, PROBABILITY[:1], SETTLED[:1], shown=0)
    assert set(once["sd"].values()) == {None} and once["trainings"] == 1
    same = scores.report(LABELS, np.stack([PROBABILITY[0]] * 3), SETTLED, shown=0)
    assert same["sd"]["auroc"] == 0 and same["auroc"] == pytest.approx(once["auroc"])
    assert same["ci95"]["auroc"] == pytest.approx(once["ci95"]["auroc"])


def test_the_report_survives_its_file(report, tmp_path):
    files.write_json(tmp_path / "a.json", report)
    read = files.read_json(tmp_path / "a.json")
    assert read["auroc"] == round(report["auroc"], 6) and read["shown"] == 1
    assert read["ci95"]["auroc"] == pytest.approx(report["ci95"]["auroc"], abs=1e-6)


@pytest.mark.parametrize("constant", [0.2, 0.8])
def test_a_constant_prediction_is_reported_without_an_error(constant):
    """This happens with few labels; no score may raise or warn."""
    labels = np.repeat([0, 1], [15, 25])
    report = scores.report(labels, np.full((2, 40), constant), [settled(0.5)] * 2, shown=0)
    assert report["auroc"] == report["balanced_accuracy"] == 0.5
    assert report["ci95"]["auroc"] == [0.5, 0.5]
    assert report["accuracy"] == pytest.approx((15 if constant < 0.5 else 25) / 40)
    # No image is called positive: precision and MCC are undefined, not 0.
    assert np.isnan(report["precision"]) == (constant < 0.5)
    assert np.isnan(report["further"]["mcc"])


def test_predictions_survive_their_table(tmp_path):
    rows = [
        {"training": k, **row}
        for k, found in enumerate(PROBABILITY)
        for row in scores.curves(LABELS, found)["predictions"]
    ]
    files.write_csv(tmp_path / "predictions.csv", rows)
    labels, probability = scores.predictions(files.read_csv(tmp_path / "predictions.csv"))
    assert labels.tolist() == LABELS.tolist() and labels.dtype.kind == "i"
    assert probability.shape == (3, 80) and probability == pytest.approx(PROBABILITY, abs=1e-6)
    said = [row["predicted"] for row in rows]
    assert said == (PROBABILITY >= 0.5).astype(int).ravel().tolist()
