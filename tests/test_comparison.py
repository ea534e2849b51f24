"""Paired differences, correction for several questions, similarity of representations, and label
efficiency: what stage `compare` writes of runs whose answer is known."""

from pathlib import Path

import numpy as np
import pytest
import samples
from safetensors.numpy import load_file, save_file
from samples import labels_of, probabilities

from chestflow import files
from chestflow.config import reading, schema
from chestflow.errors import UserError
from chestflow.metrics import comparison, intervals
from stages import compare

ROOT = Path(__file__).parents[1]
LABELS = labels_of("test")


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


# ------------------------------------------------------------------------------------- questions

RUN = {"name": "good", "dataset": "d", "init": "scratch", "strategy": "unfrozen"}
RUN |= {"lr": 0.01, "labels": "all", "augment": ["move"]}


def test_only_what_a_question_is_about_may_differ():
    other = RUN | {"name": "poor", "init": "chest", "strategy": "frozen"}
    assert compare.unlike(RUN, other) == {}
    other |= {"lr": 0.005, "labels": 300, "augment": ["move"]}
    assert compare.unlike(RUN, other) == {"lr": [0.01, 0.005], "labels": ["all", 300]}
    assert compare.unlike(other, RUN) == {"lr": [0.005, 0.01], "labels": [300, "all"]}


@pytest.fixture(scope="module")
def predicted() -> dict[str, compare.Predictions]:
    """Three runs, of which two say the same of every image; the third is poor."""
    good = probabilities(LABELS, 1.5, trainings=3)
    poor = probabilities(LABELS, 0.2, trainings=3)
    return {"good": (LABELS, good), "same": (LABELS, good), "poor": (LABELS, poor)}


def asked(*pairs: tuple[str, str]) -> schema.Comparison:
    questions = [{"run": run, "against": against} for run, against in pairs]
    return schema.Comparison(questions=questions, spaces={})


def test_answers_are_paired_by_run_and_corrected_for_all_tests(predicted):
    declared = {run: RUN | {"name": run} for run in predicted}
    declared["same"]["lr"] = 0.3
    answers = compare.answer(asked(("good", "poor"), ("good", "same")), declared, predicted)
    assert [(e["run"], e["against"], e["n"], e["trainings"]) for e in answers] == [
        ("good", "poor", 80, 3),
        ("good", "same", 80, 3),
    ]
    assert [entry["config_difference"] for entry in answers] == [{}, {"lr": [0.01, 0.3]}]
    for measure in compare.TESTED:
        apart, equal = (entry[measure] for entry in answers)
        assert (equal["difference"], equal["ci95"]) == (0.0, [0.0, 0.0])
        assert equal["p"] == equal["p_holm"] == 1.0
        assert 0 < apart["ci95"][0] < apart["difference"] and apart["p_holm"] < 0.05
    (apart, _) = answers
    tests = [entry[measure]["p"] for entry in answers for measure in compare.TESTED]
    corrected = [entry[measure]["p_holm"] for entry in answers for measure in compare.TESTED]
    assert corrected == pytest.approx(comparison.holm(tests))
    assert min(corrected) == pytest.approx(4 * min(tests)), "two questions are four tests"
    assert compare.summary(answers)["tests"] == 4
    alone = compare.answer(asked(("poor", "good")), declared, predicted)[0]["auroc"]
    assert alone["difference"] == -apart["auroc"]["difference"]
    assert alone["p"] == pytest.approx(apart["auroc"]["p"])
    assert alone["p_holm"] <= apart["auroc"]["p_holm"]


def test_a_difference_is_that_of_the_means_over_trainings(predicted):
    a, b = (compare.tested(*predicted[run]) for run in ("good", "poor"))
    entry = compare.answer(asked(("good", "poor")), dict.fromkeys(predicted, RUN), predicted)[0]
    for measure in compare.TESTED:
        expected = a[measure].values.mean() - b[measure].values.mean()
        assert entry[measure]["difference"] == pytest.approx(expected)
    decided = predicted["good"][1] >= 0.5
    expected = [((d == LABELS)[c == LABELS]).mean() for d in decided for c in (0, 1)]
    assert a["balanced_accuracy"].values.mean() == pytest.approx(np.mean(expected))


def test_the_table_shows_titles_as_they_were_written(predicted):
    names = ("accuracy", "balanced_accuracy", "auroc")
    report = dict.fromkeys(names, 0.7) | {"ci95": {name: [0.68, 0.72] for name in names}}
    report |= {"n": 1624, "trainings": 3, "data": "A|![b](c)", "majority_accuracy": 0.625}
    answers = compare.answer(asked(("good", "poor")), dict.fromkeys(predicted, RUN), predicted)
    rows = compare.markdown({"good_run": report}, answers).splitlines()
    assert rows[2].startswith(r"| good_run | 1,624 x 3 of A\|!\[b\](c) | 0.700 [0.680, 0.720] |")
    assert rows[6].startswith("| good - poor | 80 | +0.")
    assert "for all 2 tests" in rows[-1]


# ------------------------------------------------------------------------------ the whole stage


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return samples.build(tmp_path_factory.mktemp("compared"))


def points(folder: Path) -> dict[tuple, dict]:
    found = files.read_json(folder / "metrics/efficiency.json")["points"]
    keys = ("dataset", "start", "strategy", "labels")
    assert len({tuple(p[key] for key in keys) for p in found}) == len(found)
    return {tuple(p[key] for key in keys): p for p in found}


def test_runs_are_points_of_their_own_curves(folder):
    """Beside those that were trained in addition; each with every training's score."""
    found = points(folder)
    wanted = reading.params(folder / "params.yaml").efficiency
    for run, settings in files.read_json(folder / "data/settings/all.json")["runs"].items():
        report = files.read_json(folder / f"metrics/runs/{run}.json")
        kind = tuple(settings[key] for key in ("dataset", "init", "strategy"))
        own = samples.SIZES["train"] if settings["labels"] == "all" else settings["labels"]
        point = found[(*kind, own)]
        assert (point["run"], point["is_run"]) == (run, True)
        for key in ("auroc", "n", "trainings"):
            assert point[key] == pytest.approx(report[key], abs=1e-5)
        for key in ("ci95", "sd", "each"):
            assert point[key] == pytest.approx(report[key]["auroc"], abs=1e-5), (run, key)
        if run in wanted.runs:
            assert [found[(*kind, n)]["is_run"] for n in wanted.labels[:2]] == [False, False]
    added = {key[3] for key, point in found.items() if not point["is_run"]}
    assert added == set(wanted.labels[:2])


def test_a_point_is_paired_with_scratch_at_as_many_labels(folder):
    found = points(folder)
    held = {
        run: load_file(folder / f"data/efficiency/{run}.safetensors")
        for run in ("frozen", "pneumonia")
    }
    pair = [intervals.auroc(held[run]["actual"], held[run]["probability"][0]) for run in held]
    point = found["pneumoniamnist", "chest", "frozen", 50]
    expected = comparison.paired_difference(*pair)
    for key in ("difference", "p", "ci95", "sd"):
        assert point["from_scratch"][key] == pytest.approx(expected[key], abs=1e-6)
    assert "from_scratch" not in found["pneumoniamnist", "scratch", "unfrozen", 50]
    tested = [p["from_scratch"] for p in found.values() if "from_scratch" in p]
    corrected = comparison.holm([entry["p"] for entry in tested])
    assert [entry["p_holm"] for entry in tested] == pytest.approx(corrected, abs=1e-5)
    assert len(tested) == 10


def test_points_of_other_settings_are_not_set_beside_scratch(folder):
    declared = files.read_json(folder / "data/settings/all.json")["runs"]
    predicted = {run: compare.predictions(folder / "data/results" / run) for run in declared}
    places = folder / "data/efficiency", folder / "models"

    def compared(runs: dict) -> set:
        found = compare.label_efficiency(runs, predicted, *places)
        return {(p["run"], p["labels"]) for p in found if "from_scratch" in p}

    before = compared(declared)
    changed = declared | {"frozen": declared["frozen"] | {"lr": 0.5}}
    assert before - compared(changed) == {("frozen", n) for n in (50, 100, 200)}


def test_a_run_outdoes_a_further_point_of_as_many_labels(folder, tmp_path):
    """Of the same settings, it is the same training: what is reported elsewhere is shown here."""
    declared = files.read_json(folder / "data/settings/all.json")["runs"]
    run = "lowdata"
    predicted = {run: compare.predictions(folder / "data/results" / run)}
    kept = {"labels": np.array([300, 20]), "actual": LABELS}
    kept |= {"probability": np.stack([probabilities(LABELS, s, 3) for s in (0.0, 0.1)])}
    save_file(kept, tmp_path / f"{run}.safetensors")
    found = compare.label_efficiency({run: declared[run]}, predicted, tmp_path, folder / "models")
    assert [(p["labels"], p["is_run"]) for p in found] == [(20, False), (300, True)]
    expected = intervals.auroc(*predicted[run]).values.mean()
    assert found[1]["auroc"] == pytest.approx(expected)


def test_an_encoder_is_compared_with_its_start_training_by_training(folder):
    """Made up as the start, moved: the same space. Another run's has nothing in common with it."""
    found = files.read_json(folder / "metrics/comparison.json")["cka"]
    pairs = {(pair["space"], pair["a"], pair["b"]): pair for pair in found}
    assert pairs["lowdata", "autoencoder", "lowdata_autoencoder"]["cka"] == pytest.approx(1)
    apart = pairs["lowdata", "lowdata", "lowdata_autoencoder"]
    assert apart["cka"] < 0.3 and apart["sd"] > 0
    held = [
        load_file(folder / f"data/results/{run}/embeddings.safetensors")["run"]
        for run in ("lowdata", "lowdata_autoencoder")
    ]
    each = [comparison.linear_cka(x, y) for x, y in zip(*held)]
    assert apart["cka"] == pytest.approx(np.mean(each), abs=1e-5)


def test_the_curves_hold_every_training_of_every_run(folder):
    for kind in (*compare.CURVES, "training"):
        table = files.read_csv(folder / f"plots/curves/{kind}.csv")
        trainings = set(zip(table["run"], table["training"]))
        assert len(trainings) == 7 * 3, kind
        assert set(table["data"]) == {"PneumoniaMNIST PHANTOM", "ChestMNIST PHANTOM"}
    table = files.read_csv(folder / "plots/curves/label_efficiency.csv")
    assert set(table) == set(compare.COLUMNS) and len(table["run"]) == len(points(folder))


def test_runs_that_are_not_declared_are_not_read(folder):
    """Their files may still lie there."""
    (folder / "metrics/runs/old.json").write_text("{}")
    (folder / "data/efficiency/old.safetensors").write_bytes(b"")
    before = files.read_json(folder / "metrics/comparison.json")
    samples.compare_runs(folder)
    assert files.read_json(folder / "metrics/comparison.json") == before
