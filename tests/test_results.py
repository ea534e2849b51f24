"""`chestflow results`: the page, its figures and the README's table, without patients' images."""

import argparse

import numpy as np
import pytest
import samples
from sklearn.metrics import roc_auc_score

from chestflow.commands import results
from chestflow.errors import UserError

PLACES = ("runs/pneumonia/gradcam.png", "runs/pneumonia/history.png", "overview/scores.png")


def scores(**changes) -> dict:
    ci95 = {"auroc": [0.98, 0.99], "accuracy": [0.94, 0.96]}
    report = {"data": "Set", "auroc": 0.985, "accuracy": 0.95, "ci95": ci95, "n": 624}
    return report | {"trainings": 5, "parameters": 18218, "trainable_parameters": 18218} | changes


def test_figures_of_images_are_left_out_and_old_ones_removed(tmp_path):
    for place in (*PLACES, "overview/reconstructions.png", "runs/other/history.png"):
        (tmp_path / "plots" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plots" / place).write_bytes(b"png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old.png").touch()
    results.copy_figures(tmp_path / "plots", tmp_path / "out", "pneumonia")
    copied = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.png")}
    assert copied == {"runs/pneumonia/history.png", "overview/scores.png"}


def test_the_table_holds_the_runs_on_the_subjects_images_with_what_they_train():
    reports = {"pneumonia": scores(), "chest": scores(data="Other")}
    reports["frozen"] = scores(auroc=None, trainable_parameters=66)
    cells = {"none": 0.985, "all": 0.984, "healthy": 0.963, "diseased": 0.99}
    audit = {"auroc": cells, "ci95": {cell: [v - 0.01, v + 0.005] for cell, v in cells.items()}}
    audits = {run: {"test": audit} for run in reports}
    text = "\n".join(results.table(reports, audits, "pneumonia"))
    framed = "0.963 [0.953, 0.968] | 0.950 [0.940, 0.960] | 624 × 5"
    row = f"| `pneumonia` | 0.985 [0.980, 0.990] | {framed} | 18,218 |"
    assert row in text and "chest" not in text
    assert f"| `frozen` | not defined | {framed} | 66 |" in text
    assert "Google AutoML Vision" in text and "0.991" in text


def test_only_what_stands_between_the_marks_is_replaced(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{results.BEGIN}old\n{results.END}\nafter\n")
    results.insert(page, ["| new |"])
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert "| new |" in text and "old" not in text
    page.write_text("no marks")
    with pytest.raises(UserError, match="lacks the lines"):
        results.insert(page, [])


def test_without_results_of_real_images_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = argparse.Namespace(docs=tmp_path / "docs", readme=tmp_path / "README.md")
    with pytest.raises(UserError, match="no results here"):
        results.main(options)
    samples.build(tmp_path, trainings=1)
    (tmp_path / "report").mkdir()
    (tmp_path / "report/index.md").touch()
    with pytest.raises(UserError, match="results here are of PneumoniaMNIST PHANTOM"):
        results.main(options)
    assert not options.docs.exists()


def test_one_training_gets_intervals_for_other_images_alone():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    probability = np.clip(0.5 + (labels - 0.5) * 0.3 + rng.normal(0, 0.3, 200), 0, 1)[None]
    measured = results.scores_of(labels, probability, 0.6)
    assert measured["half"]["auroc"]["value"] == pytest.approx(
        roc_auc_score(labels, probability[0])
    )
    low, high = measured["half"]["accuracy"]["ci95"]
    share = measured["half"]["accuracy"]["value"]
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 200), rel=0.05)
    assert measured["chosen"]["recall"]["value"] < measured["half"]["recall"]["value"]
    assert measured["chosen"]["recall"]["sd"] is None
