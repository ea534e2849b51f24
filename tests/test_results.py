"""`chestflow results`: the page, its figures and the README's table, without patients' images."""

import argparse

import pytest
import samples

from chestflow.commands import results
from chestflow.errors import UserError

PLACES = ("runs/pneumonia/gradcam.png", "runs/pneumonia/history.png", "overview/scores.png")


def scores(**changes) -> dict:
    ci95 = {"auroc": [0.98, 0.99], "accuracy": [0.94, 0.96]}
    report = {"data": "Set", "auroc": 0.985, "accuracy": 0.95, "ci95": ci95, "n": 624}
    report |= {"pixels": {"auroc": 0.93, "accuracy": 0.87, "ci95": ci95}}
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


def test_the_table_holds_the_runs_on_the_subjects_images_baselines_and_what_was_published():
    reports = {"pneumonia": scores(), "chest": scores(data="Other")}
    reports["frozen"] = scores(auroc=None, trainable_parameters=66)
    cells = {"none": 0.985, "all": 0.984, "healthy": 0.963, "diseased": 0.99}
    audit = {"auroc": cells, "ci95": {cell: [v - 0.01, v + 0.005] for cell, v in cells.items()}}
    audits = {run: {"test": audit, "ring": {"test": [0.8, 0.7, 0.9]}} for run in reports}
    values = {"subject": "pneumonia", "scores": reports, "framing": audits}
    _, head, _, *rows = results.table(values, side=28).splitlines()
    assert head.startswith("| | lowest AUROC, however framed | AUROC | accuracy |")
    assert rows[:4] == [
        "| `pneumonia` | 0.963 [0.953, 0.968] | 0.985 [0.980, 0.990] | 0.950 [0.940, 0.960]"
        " | 624 × 5 | 18,218 |",
        "| `frozen` | 0.963 [0.953, 0.968] | not defined | 0.950 [0.940, 0.960] | 624 × 5 | 66 |",
        "| logistic regression on the pixels | not scored | 0.930 [0.980, 0.990]"
        " | 0.870 [0.940, 0.960] | 624 | 785 |",
        "| the outermost pixels alone | not scored | 0.800 [0.700, 0.900] | not scored | 624"
        " | 109 |",
    ]
    assert "Google AutoML Vision" in rows[5] and "| 0.991 | 0.946 |" in rows[5]
    assert not any("chest" in row for row in rows)


def test_only_what_stands_between_the_marks_is_replaced(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{results.BEGIN}old\n{results.END}\nafter\n")
    results.insert(page, "| new |\n")
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert "| new |" in text and "old" not in text
    page.write_text("no marks")
    with pytest.raises(UserError, match="lacks the lines"):
        results.insert(page, "")


def test_without_results_of_real_images_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no results here"):
        results.main(argparse.Namespace())
    samples.build(tmp_path, trainings=1)
    with pytest.raises(UserError, match="results here are of PneumoniaMNIST PHANTOM"):
        results.main(argparse.Namespace())
    assert not (tmp_path / "docs").exists() and not (tmp_path / "released").exists()
