"""Paired differences, correction for several questions, similarity of representations."""

from pathlib import Path

import numpy as np
import pytest

from chestflow.core import tables
from chestflow.core.errors import UserError
from chestflow.measures import comparison, resampling
from chestflow.parameters import reading, schema
from stages import compare, efficiency
from stages.configure import curve_settings

ROOT = Path(__file__).parents[1]
N = 400


@pytest.fixture(scope="module")
def graded():
    """Labels, and the probabilities of a good and of a poor classifier."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, N)
    good, poor = (1 / (1 + np.exp(-(labels * 2 - 1) * s - rng.normal(0, 1, N))) for s in (2, 0.5))
    return labels, good, poor, resampling.counts(N, 1000, seed=1)


def test_a_classifier_does_not_differ_from_itself(graded):
    labels, good, _, counts = graded
    for entry in comparison.paired_difference(labels, good, good, counts).values():
        assert entry == {"difference": 0.0, "ci95": [0.0, 0.0], "p": 1.0}


def test_a_better_classifier_is_found_and_swapping_the_two_flips_the_sign(graded):
    labels, good, poor, counts = graded
    there = comparison.paired_difference(labels, good, poor, counts)
    back = comparison.paired_difference(labels, poor, good, counts)
    for name, entry in there.items():
        low, high = entry["ci95"]
        assert 0 < low < entry["difference"] < high
        assert entry["p"] == pytest.approx(2 / 1001)  # not one resample on the other side
        assert back[name]["ci95"] == pytest.approx([-high, -low])
    expected = resampling.auroc(labels, good)[0] - resampling.auroc(labels, poor)[0]
    assert there["auroc"]["difference"] == pytest.approx(expected)


def test_pairing_narrows_the_interval(graded):
    labels, good, _, counts = graded
    nearly = np.clip(good + np.random.default_rng(2).normal(0, 0.02, N), 0, 1)
    low, high = comparison.paired_difference(labels, nearly, good, counts)["auroc"]["ci95"]
    alone = resampling.interval(resampling.auroc(labels, good, counts))
    assert high - low < (alone[1] - alone[0]) / 2


def test_p_values_are_uniform_where_nothing_differs():
    rng, below = np.random.default_rng(3), 0
    for _ in range(200):
        labels = rng.integers(0, 2, 100)
        a, b = rng.random(100), rng.random(100)
        counts = resampling.counts(100, 200, seed=int(rng.integers(1e6)))
        below += comparison.paired_difference(labels, a, b, counts)["auroc"]["p"] < 0.05
    assert below <= 24  # 5 % of 200 are 10; more than 24 has a chance of 1e-5


def test_holm():
    # The example of Holm (1979) as worked in textbooks: .01 x 4, .03 x 2 carried on, .04, .005 x 4.
    assert comparison.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert comparison.holm([0.9, 0.8]) == [1.0, 1.0]
    assert comparison.holm([0.2]) == [0.2]


def test_cka():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 8))
    rotation = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    assert comparison.linear_cka(x, 3 * x @ rotation + 5) == pytest.approx(1)
    assert comparison.linear_cka(x, rng.normal(size=(500, 8))) < 0.1
    y = x[:, :3] + 0.5 * rng.normal(size=(500, 3))
    gram = [v @ v.T for v in (x - x.mean(0), y - y.mean(0))]  # the definition by HSIC, eq. 3
    hsic = (gram[0] * gram[1]).sum() / np.sqrt((gram[0] ** 2).sum() * (gram[1] ** 2).sum())
    assert comparison.linear_cka(x, y) == pytest.approx(hsic)


@pytest.fixture(scope="module")
def params() -> schema.Params:
    return reading.params(ROOT / "params.yaml")


@pytest.mark.parametrize(
    ("key", "declared"),
    [
        ("questions.0", {"questions": [{"run": "chest", "against": "frozen"}], "spaces": {}}),
        ("spaces.both", {"questions": [], "spaces": {"both": ["chest", "frozen"]}}),
    ],
    ids=["question", "space"],
)
def test_only_runs_on_the_same_images_can_be_compared(params, key, declared):
    said = ": chest and frozen are tested on 'chestmnist' and 'pneumoniamnist'; accepted: runs of"
    with pytest.raises(UserError, match=rf"^comparison\.{key}{said}"):
        reading.changed(params, {"comparison": declared})


def test_answers_are_paired_by_run_and_corrected_for_their_number(tmp_path, graded):
    """On three runs, of which two say the same of every image."""
    labels, good, poor, _ = graded
    for run, probability in {"good": good, "same": good, "poor": poor}.items():
        rows = ({"actual": int(y), "probability": float(p)} for y, p in zip(labels, probability))
        tables.write_csv(tmp_path / run / "predictions.csv", rows)
    pairs = [("good", "poor"), ("good", "same")]
    questions = [{"run": run, "against": against} for run, against in pairs]
    asked = schema.Comparison(questions=questions, spaces={})
    answers = compare.answer(asked, tmp_path, 1000, seed=1)
    assert [(entry["run"], entry["against"], entry["n"]) for entry in answers] == [
        ("good", "poor", N),
        ("good", "same", N),
    ]
    for measure in ("auroc", "balanced_accuracy"):
        apart, equal = (entry[measure] for entry in answers)
        assert (apart["p_holm"], equal["p_holm"]) == (pytest.approx(2 * 2 / 1001), 1.0)
        assert (equal["difference"], equal["ci95"]) == (0.0, [0.0, 0.0])
        assert 0 < apart["ci95"][0] < apart["difference"]


def test_the_table_marks_runs_that_do_not_beat_the_majority_class():
    def report(accuracy: float) -> dict:
        interval = [accuracy - 0.02, accuracy + 0.02]
        names = ("accuracy", "balanced_accuracy", "auroc")
        scores = dict.fromkeys(names, accuracy)
        ci95 = dict.fromkeys(names, interval)
        return {"n": 624, "data": "A|![b](c)", "majority_accuracy": 0.625, "ci95": ci95, **scores}

    rows = compare.markdown({"good": report(0.7), "poor": report(0.64)}, []).splitlines()
    assert "not above" not in rows[2]
    assert "not above" in rows[3]
    assert r"| 624 of A\|!\[b\](c) |" in rows[2]  # shown as it was written


@pytest.mark.parametrize("dataset", ["pneumoniamnist", "chestmnist"])
def test_every_start_is_trained_on_the_same_number_of_images(params, dataset):
    curves = [n for n, c in params.efficiency.curves.items() if c.dataset == dataset]
    assert len(curves) > 1
    for labels in (50, 300, 4708):
        seen = set()
        for name in curves:
            curve = schema.Curve(**curve_settings(params, name))
            settings, phases = efficiency.schedule(curve, labels)
            assert settings.patience == settings.epochs
            seen.add(settings.epochs * len(phases))
        assert len(seen) == 1, (labels, seen)


def test_label_efficiency_is_summarised_over_the_seeds(tmp_path):
    declared = {"b": {"dataset": "d", "init": "scratch", "strategy": "unfrozen"}}
    found = [(50, 0.6), (50, 0.7), (50, 0.8), (300, 0.9)]
    points = [{"labels": n, "seed": i, "auroc": a} for i, (n, a) in enumerate(found)]
    tables.write_exact_json(tmp_path / "b.json", {"points": points})
    tables.write_exact_json(tmp_path / "old.json", {"points": points})  # no longer declared
    row, single = compare.label_efficiency(declared, tmp_path)
    assert (row["dataset"], row["start"], row["labels"]) == ("d", "scratch, unfrozen", 50)
    assert (row["auroc"], row["seeds"]) == (pytest.approx(0.7), 3)
    assert (row["sd"], row["lowest"], row["highest"]) == (pytest.approx(0.1), 0.6, 0.8)
    assert (single["labels"], single["seeds"], single["auroc"], single["sd"]) == (300, 1, 0.9, None)
