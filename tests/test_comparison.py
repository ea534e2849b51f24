"""Paired differences, Holm's correction, CKA, and what stage `compare` makes of them."""

import numpy as np
import pytest
import samples
from safetensors.numpy import save_file

from chestflow import files
from chestflow.config.schema import Comparison
from chestflow.metrics import comparison, intervals
from chestflow.metrics.intervals import Measured
from stages import compare

LABELS = samples.labels_of("test")
GOOD, POOR = (samples.probabilities(LABELS, signal, 3) for signal in (1.5, 0.2))
FROZEN = intervals.auroc(LABELS, GOOD)


def test_holm():
    # As worked in textbooks: .005 x 4, .01 x 3, .03 x 2, and .04, raised to the one before.
    assert comparison.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert comparison.holm([0.9, 0.8]) == [1.0, 1.0]


def test_cka():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 8))
    rotation = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    assert comparison.linear_cka(x, 3 * x @ rotation + 5) == pytest.approx(1)
    y = x[:, :3] + 0.5 * rng.normal(size=(500, 3))
    gram = [v @ v.T for v in (x - x.mean(0), y - y.mean(0))]  # the definition by HSIC, eq. 3
    hsic = (gram[0] * gram[1]).sum() / np.sqrt((gram[0] ** 2).sum() * (gram[1] ** 2).sum())
    assert comparison.linear_cka(x, y) == pytest.approx(hsic)


def test_trainings_are_paired():
    """What a training does to both runs alike does not blur their difference."""
    rng = np.random.default_rng(0)
    shared, own = rng.normal(0, 0.05, 5), rng.normal(0, 0.001, 5)
    a, b = (Measured(values, np.zeros((5, 4))) for values in (0.8 + shared + own, 0.7 + shared))
    low, high = comparison.paired_difference(a, b)["ci95"]
    assert 0.098 < low < 0.1 + own.mean() < high < 0.102
    assert comparison.paired_difference(a, a) == {"difference": 0, "ci95": [0, 0]}


RUN = {"init": "scratch", "strategy": "unfrozen", "dataset": "d", "labels": 300, "lr": 0.01}
RUN |= {"steps": 500}


def test_only_what_a_question_is_about_may_differ():
    other = RUN | {"name": "other", "init": "chest", "strategy": "frozen"}
    run = RUN | {"name": "run", "patience": None}
    assert compare.config_difference(run, other | {"patience": 3}) == {}, "null: not used"
    other |= {"lr": 0.005, "labels": "all", "patience": 3}
    expected = {"lr": [0.01, 0.005], "labels": [300, "all"]}
    assert compare.config_difference(run, other) == expected


def test_primary_questions_are_corrected_and_further_ones_not_tested():
    declared = {"good": RUN, "same": RUN | {"lr": 0.3}, "poor": RUN}
    good, poor = (intervals.auroc(LABELS, probability) for probability in (GOOD, POOR))
    questions = [{"run": "good", "against": other} for other in ("poor", "same")]
    wanted = Comparison(primary=questions, further=questions[:1], spaces={})
    answers = compare.answer(wanted, declared, {"good": good, "same": good, "poor": poor})
    tested, same = answers["primary"]
    assert (tested["config_difference"], same["config_difference"]) == ({}, {"lr": [0.01, 0.3]})
    assert tested["p_holm"] == pytest.approx(2 * intervals.p_value(good - poor))
    assert same["p_holm"] == 1
    (low, high), (wide_low, wide_high) = tested["ci95"], tested["ci95_holm"]
    assert wide_low < low < high < wide_high
    assert answers["further"] == [
        {key: value for key, value in tested.items() if key not in ("p_holm", "ci95_holm")}
    ]


def pair_with(difference: float, sd: float) -> tuple[Measured, Measured]:
    """Two runs of five trainings with this paired difference."""
    each = 0.9 + sd * np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    influence = np.random.default_rng(0).normal(0, 0.002, (5, 40))
    return Measured(each + difference, influence), Measured(np.full(5, 0.9), 0 * influence)


@pytest.mark.parametrize("sd", [0.0, 0.004, 0.02])
@pytest.mark.parametrize("scale", [0.001, 0.005, 0.01, 0.02, 0.03])
def test_a_corrected_interval_leaves_out_0_exactly_where_its_p_is_below_the_level(scale, sd):
    pairs = [pair_with(scale * factor, sd) for factor in (-1.0, 1.02, 1.5, 0.1)]
    tested = comparison.paired_differences(pairs)
    for entry in tested:
        low, high = entry["ci95_holm"]
        assert (low > 0 or high < 0) == (entry["p_holm"] < 0.05)
        assert low <= entry["ci95"][0] and high >= entry["ci95"][1]
    alone = comparison.paired_differences(pairs[:1])[0]
    assert alone["ci95_holm"] == pytest.approx(alone["ci95"]), "one test needs no correction"


def efficiency_points(folder, frozen: dict, trainings: int = 3) -> dict[tuple, dict]:
    """Of a run from scratch and one from a start, both trained with 200 labels, and in addition
    with 50, again with 200, and with 200 for fewer steps."""
    declared = {"plain": RUN, "frozen": RUN | {"init": "chest", "strategy": "frozen"} | frozen}
    for run in declared:
        labelled = {"train": list(range(200)), "val": []}
        files.write_json(folder / run / "trainings/0/labelled.json", labelled)
        each = [samples.probabilities(LABELS, signal, 3, seed=1) for signal in (0.5, 0.6, 0.4)]
        few = {"labels": np.array([50, 200, 200]), "steps": np.array([500, 500, 20])}
        few |= {"actual": LABELS, "probability": np.stack(each)}
        save_file(few, folder / f"{run}.safetensors")
    measured = {"plain": intervals.auroc(LABELS, POOR[:trainings]), "frozen": FROZEN}
    points = compare.efficiency_points(declared, measured, folder, folder)
    return {(point["run"], point["labels"], point["short"]): point for point in points}


def test_runs_are_points_of_their_label_efficiency_curves_paired_with_scratch(tmp_path):
    """Even where another training has as many labels: a run has one result everywhere."""
    points = efficiency_points(tmp_path, frozen={})
    kinds = {(50, False): False, (200, False): True, (200, True): False}
    is_run = {(run, *kind): own for run in ("plain", "frozen") for kind, own in kinds.items()}
    assert {key: point["is_run"] for key, point in points.items()} == is_run
    point, estimate = points["frozen", 200, False], intervals.estimate(FROZEN)
    assert (point["auroc"], point["ci95"]) == (estimate["value"], estimate["ci95"])
    assert (point["n"], point["trainings"], point["each"]) == (80, 3, FROZEN.values.tolist())
    scratch = intervals.auroc(LABELS, POOR)
    assert point["from_scratch"] == comparison.paired_difference(FROZEN, scratch)
    short = points["frozen", 200, True]["auroc"] - points["plain", 200, True]["auroc"]
    assert points["frozen", 200, True]["from_scratch"]["difference"] == pytest.approx(short)


def test_a_point_is_paired_with_scratch_of_the_same_settings_and_trainings_alone(tmp_path):
    points = efficiency_points(tmp_path, frozen={"lr": 0.5})
    assert len(points) == 6 and not any("from_scratch" in point for point in points.values())
    points = efficiency_points(tmp_path, frozen={}, trainings=2)
    assert {key[1:] for key, point in points.items() if "from_scratch" in point} == {
        (50, False),
        (200, True),
    }


def similarities(folder, vectors: dict, strategy: str) -> dict[tuple[str, str], dict]:
    """Of a run from scratch and one that still is what it came as, up to scale."""
    starts = {"started": {"start": (2 * vectors["started"] + 1).astype(np.float32)}}
    for run, each in vectors.items():
        (folder / run).mkdir()
        kept = {"run": each.astype(np.float32)} | starts.get(run, {})
        save_file(kept, folder / run / "embeddings.safetensors")
    declared = {"plain": RUN, "started": RUN | {"init": "chest", "strategy": strategy}}
    pairs = compare.similarities(["plain", "started"], declared, folder)
    return {(pair["a"], pair["b"]): pair for pair in pairs}


def test_encoders_are_compared_training_by_training_and_with_their_own_other_trainings(tmp_path):
    plain, started = np.random.default_rng(0).normal(size=(2, 3, 80, 4))
    started += started[:1]  # trainings have something in common
    cka = similarities(tmp_path, {"plain": plain, "started": started}, "unfrozen")
    assert cka["chest", "started"]["cka"] == pytest.approx(1)
    each = [comparison.linear_cka(x, y) for x, y in zip(plain, started)]
    assert cka["plain", "started"]["cka"] == pytest.approx(np.mean(each), abs=1e-6)
    assert cka["plain", "started"]["sd"] == pytest.approx(np.std(each, ddof=1), abs=1e-6)
    others = [comparison.linear_cka(started[i], started[k]) for i, k in ((0, 1), (0, 2), (1, 2))]
    reference = cka["started", "started"]
    assert reference["cka"] == pytest.approx(np.mean(others), abs=1e-6) and reference["sd"] is None


def test_a_frozen_encoder_is_listed_as_its_start(tmp_path):
    plain, started = np.random.default_rng(0).normal(size=(2, 1, 80, 4))
    cka = similarities(tmp_path, {"plain": plain, "started": started}, "frozen")
    assert cka.keys() == {("chest", "plain")}, "one training has no reference"


def test_curves_of_all_runs_keep_their_ends_and_stay_small():
    rows = [{"recall": i} for i in range(1000)]
    few = compare.thinned(rows)
    assert (few[0], few[-1], len(few)) == (rows[0], rows[-1], compare.POINTS)
    assert compare.thinned(rows[:7]) == rows[:7]
