"""Results as text: JSON with short lists on one line, rounded or exact, and CSV."""

import json
import math

import numpy as np
import pytest

from chestflow import files


@pytest.mark.parametrize("write", [files.write_json, files.write_exact_json])
@pytest.mark.parametrize(
    "values",
    [
        {"note": '[ NIH  2020 ], "cropped", {"a": [1,  2]}', "[ 1 ]": {"deep": [["[ 1 ]"], []]}},
        {"a": [{}, []], "b": {"c": [[1], 2]}, "d": {}},
    ],
)
def test_what_is_written_is_read_back(write, values, tmp_path):
    """Also text that looks like a list, which is not to be put on one line."""
    write(tmp_path / "new/values.json", values)
    assert files.read_json(tmp_path / "new/values.json") == values


def test_an_interval_stays_on_one_line(tmp_path):
    report = {"auroc": 0.91, "ci95": {"auroc": [0.89, 0.93]}, "runs": [{"run": "a", "n": [1, 2]}]}
    files.write_json(tmp_path / "report.json", report)
    lines = (tmp_path / "report.json").read_text().splitlines()
    assert '    "auroc": [0.89, 0.93]' in lines and '      "n": [1, 2]' in lines


def test_results_are_rounded_and_undefined_ones_are_null(tmp_path):
    report = {"loss": 1e-7, "score": np.float64(0.123456789), "ci95": [math.nan, 0.5], "n": 3}
    files.write_json(tmp_path / "report.json", report)
    expected = {"loss": 0.0, "score": 0.123457, "ci95": [None, 0.5], "n": 3}
    assert json.loads((tmp_path / "report.json").read_text()) == expected


def test_settings_keep_every_digit(tmp_path):
    settings = {"lr": 1e-7, "factors": [1 / 3, 1e-12]}
    files.write_exact_json(tmp_path / "settings.json", settings)
    assert files.read_json(tmp_path / "settings.json") == settings


def test_a_table_is_read_back_by_columns_and_by_rows(tmp_path):
    rows = [{"run": "a", "n": 1, "auroc": 0.5}, {"run": "b, c", "n": 2, "auroc": math.nan}]
    files.write_csv(tmp_path / "new/table.csv", iter(rows))
    columns = files.read_csv(tmp_path / "new/table.csv")
    assert columns["run"] == ["a", "b, c"] and columns["n"] == [1, 2]
    assert columns["auroc"][0] == 0.5 and math.isnan(columns["auroc"][1])
    assert files.rows_of(columns)[0] == {"run": "a", "n": 1, "auroc": 0.5}
