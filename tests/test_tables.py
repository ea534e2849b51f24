"""Results as text: JSON with short lists on one line, rounded or exact, and CSV."""

import json
import math

import numpy as np
import pytest

from chestflow import files

TITLE = 'Images [ NIH  2020 ], "cropped", {"a": [1,  2]}'


@pytest.mark.parametrize("write", [files.write_json, files.write_exact_json])
def test_strings_are_written_unchanged(write, tmp_path):
    """Whatever looks like a list in a title, a note or a key is no list to be put on one line."""
    values = {"data": "Images [ NIH  2020 ]", "note": TITLE, TITLE: {"deep": [[TITLE], ["[ 1 ]"]]}}
    write(tmp_path / "new/values.json", values)
    assert files.read_json(tmp_path / "new/values.json") == values


def test_an_interval_stays_on_one_line(tmp_path):
    report = {"auroc": 0.91, "ci95": {"auroc": [0.89, 0.93]}, "runs": [{"run": "a", "n": [1, 2]}]}
    files.write_json(tmp_path / "report.json", report)
    text = (tmp_path / "report.json").read_text()
    assert '    "auroc": [0.89, 0.93]\n' in text and '      "n": [1, 2]\n' in text
    assert len(text.splitlines()) == 12 and text.endswith("}\n")


@pytest.mark.parametrize(
    "values", [{}, {"a": []}, {"a": {}}, {"a": [{}, []]}, {"a": {"b": {"c": [[1], 2]}}}]
)
def test_the_layout_is_jsons_own_but_for_plain_lists(values, tmp_path):
    files.write_exact_json(tmp_path / "values.json", values)
    text = (tmp_path / "values.json").read_text()
    assert json.loads(text) == values
    assert "".join(text.split()) == "".join(json.dumps(values).split())


def test_results_are_rounded_and_undefined_ones_are_null(tmp_path):
    report = {"loss": 1e-7, "score": np.float64(0.123456789), "ci95": [math.nan, 0.5], "n": 3}
    files.write_json(tmp_path / "report.json", report)
    expected = {"loss": 0.0, "score": 0.123457, "ci95": [None, 0.5], "n": 3}
    assert files.read_json(tmp_path / "report.json") == expected


def test_settings_keep_every_digit(tmp_path):
    settings = {"lr": 1e-7, "factors": [1 / 3, 1e-12], "nested": {"decay": 2.5e-9}}
    files.write_exact_json(tmp_path / "settings.json", settings)
    assert files.read_json(tmp_path / "settings.json") == settings


def test_a_table_is_read_back_by_columns_and_by_rows(tmp_path):
    rows = [{"run": "a", "n": 1, "auroc": 0.5}, {"run": "b, c", "n": 2, "auroc": math.nan}]
    files.write_csv(tmp_path / "new/table.csv", iter(rows))
    columns = files.read_csv(tmp_path / "new/table.csv")
    assert columns["run"] == ["a", "b, c"] and columns["n"] == [1, 2]
    assert columns["auroc"][0] == 0.5 and math.isnan(columns["auroc"][1])
    assert files.rows_of(columns)[0] == {"run": "a", "n": 1, "auroc": 0.5}


def test_each_row_is_on_the_disk_before_the_next_one_is_computed(tmp_path):
    """A plot can follow a training."""
    path, seen = tmp_path / "history.csv", []

    def epochs():
        for epoch in (1, 2):
            yield {"epoch": epoch}
            seen.append(path.read_text())

    files.write_csv(path, epochs())
    assert seen == ["epoch\n1\n", "epoch\n1\n2\n"]
