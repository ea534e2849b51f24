"""Results as text: JSON, rounded or exact, and CSV."""

import math

import numpy as np

from chestflow import files


def test_results_are_rounded_and_undefined_ones_are_null(tmp_path):
    report = {"loss": 1e-7, "score": np.float64(0.123456789), "ci95": [math.nan, 0.5], "n": 3}
    files.write_json(tmp_path / "new/report.json", report)
    expected = {"loss": 0.0, "score": 0.123457, "ci95": [None, 0.5], "n": 3}
    assert files.read_json(tmp_path / "new/report.json") == expected


def test_settings_keep_every_digit(tmp_path):
    settings = {"lr": 1e-7, "factors": [1 / 3, 1e-12], "names": ["Kermany, 2018 é"]}
    files.write_exact_json(tmp_path / "settings.json", settings)
    assert files.read_json(tmp_path / "settings.json") == settings


def test_a_table_is_read_back_by_columns_and_by_rows(tmp_path):
    rows = [{"run": "a", "n": 1, "auroc": 0.5}, {"run": "b, c", "n": 2, "auroc": math.nan}]
    files.write_csv(tmp_path / "new/table.csv", iter(rows))
    columns = files.read_csv(tmp_path / "new/table.csv")
    assert columns["run"] == ["a", "b, c"] and columns["n"] == [1, 2]
    assert columns["auroc"][0] == 0.5 and math.isnan(columns["auroc"][1])
    assert files.rows_of(columns)[0] == {"run": "a", "n": 1, "auroc": 0.5}
