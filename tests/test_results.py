"""`chestflow results`: the page, its figures and the README's table, without patients' images."""

import argparse
from pathlib import Path

import pytest

from chestflow import files
from chestflow.commands import results
from chestflow.config import reading
from chestflow.errors import UserError

ROOT = Path(__file__).parents[1]

PLACES = ("runs/pneumonia/gradcam.png", "runs/pneumonia/history.png", "overview/scores.png")


def scores(**given) -> dict:
    ci95 = {"auroc": [0.98, 0.99], "accuracy": [0.94, 0.96]}
    sizes = {"n": 624, "trainings": 5, "parameters": 18218, "classes": ["healthy", "ill"]}
    return {"data": "Set", "auroc": 0.985, "accuracy": 0.95, "ci95": ci95, **sizes} | given


def test_figures_of_images_are_left_out_and_old_ones_removed(tmp_path):
    for place in (*PLACES, "overview/reconstructions.png", "runs/other/history.png"):
        (tmp_path / "plots" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plots" / place).write_bytes(b"png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old.png").touch()
    results.copy_figures(tmp_path / "plots", tmp_path / "out", "pneumonia")
    found = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.png")}
    assert found == {"runs/pneumonia/history.png", "overview/scores.png"}


def test_the_table_holds_the_runs_on_the_subjects_images_with_their_sizes():
    reports = {"pneumonia": scores(), "frozen": scores(auroc=None), "chest": scores(data="Other")}
    text = "\n".join(results.table(reports, "pneumonia"))
    assert (
        "| `pneumonia` | 0.985 [0.980, 0.990] | 0.950 [0.940, 0.960] | 624 × 5 | 18,218 |" in text
    )
    assert "`frozen` | not defined" in text and "chest" not in text
    assert "Google AutoML Vision" in text and "0.991" in text


def test_only_what_stands_between_the_marks_is_replaced(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{results.BEGIN}old\n{results.END}\nafter\n")
    results.insert(page, ["| new |"])
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert "| new |" in text and "old" not in text
    results.insert(page, ["| new |"])
    assert page.read_text() == text
    page.write_text("no marks")
    with pytest.raises(UserError, match="lacks the lines"):
        results.insert(page, [])
    assert page.read_text() == "no marks"


def test_larger_images_are_a_row_per_network_and_one_per_repetition(tmp_path):
    ci95 = {"auroc": [0.97, 0.99], "accuracy": [0.9, 0.95]}
    row = {"name": "default", "changes": {}, "trainings": 1, "parameters": 18218, "n": 624}
    row |= {"val_auroc": 0.998, "auroc": 0.98, "accuracy": 0.93, "ci95": ci95, "core_seconds": 40}
    deeper = row | {"name": "deeper", "changes": {"epochs": 8, "blocks": 4}}
    again, once = deeper | {"trainings": 3}, [row, deeper]
    sizes = {
        "28": {"chosen": "deeper", "configurations": once, "finalists": [again, row]},
        "64": {"chosen": "default", "configurations": once, "finalists": [row]},
    }
    params = reading.params(ROOT / "params.yaml")
    assert results.larger_images(tmp_path / "none.json", params) == ""
    maps = {"deletion_difference": [0.1, 0.0, 0.2], "empty_maps": 0.25}
    outlined = {"chance": 0.1, "pointing_hits": 0.4, "mass_inside": 0.2}
    outlined["ci95"] = {"pointing_hits": [0.35, 0.45], "mass_inside": [0.18, 0.22]}
    sizes["64"]["configurations"] = [row | {"maps": maps}, deeper]
    drawn = {"configurations": [deeper | {"maps": maps | outlined}], "finalists": []}
    record = {"images": "A set", "sizes": sizes, "phantoms": {"224": drawn | {"chosen": "deeper"}}}
    files.write_json(tmp_path / "sizes.json", record)
    text = results.larger_images(tmp_path / "sizes.json", params)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| 28", "| 64"))]
    assert [cells[1] for cells in rows] == [
        *("default", "**deeper**", "**deeper**"),
        *("**default**", "deeper"),
    ]
    assert [cells[5] for cells in rows] == ["1", "1", "3", "1", "1"]
    assert rows[0][3] == str(params.epochs) and rows[1][3] == "8"
    real, phantom = (
        [line for line in text.splitlines() if line.startswith(f"| {images} |")]
        for images in ("A set", "phantoms")
    )
    assert real == ["| A set | 64 | default | 36 | 8 × 8 | 25 % | +0.100 [0.000, +0.200] | | |"]
    assert phantom == [
        "| phantoms | 224 | deeper | 76 | 14 × 14 | 25 % | +0.100 [0.000, +0.200]"
        " | 0.400 [0.350, 0.450] (0.100) | 0.200 [0.180, 0.220] |"
    ]


def test_phantoms_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = argparse.Namespace(docs=tmp_path / "docs", readme=tmp_path / "README.md")
    with pytest.raises(UserError, match="no results here"):
        results.main(options)
    files.write_json(tmp_path / "data/settings/all.json", {})
    (tmp_path / "report").mkdir()
    (tmp_path / "report/index.md").touch()
    drawn = {"scores": {"pneumonia": scores(data="Set PHANTOM")}}
    monkeypatch.setattr(results.reading, "read", lambda *_: drawn)
    with pytest.raises(UserError, match="results here are of Set PHANTOM"):
        results.main(options)
    assert not options.docs.exists()
