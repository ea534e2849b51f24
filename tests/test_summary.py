"""`chestflow summary`: the runs that are declared, whatever else lies in the folder."""

import json
import re
import shutil
from pathlib import Path

import pytest
import samples
import yaml

from chestflow import cli
from chestflow.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with the results of all runs, and those of a run that is no longer declared."""
    samples.build(tmp_path, trainings=1)
    shutil.copytree(tmp_path / "data/results/chest", tmp_path / "data/results/former")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def summary() -> None:
    options = cli.parse(["summary"])
    options.function(options)


def test_it_lists_the_declared_runs(folder, capsys):
    summary()
    listed = re.findall(r"(?m)^(\w+) +\d.*\[", capsys.readouterr().out)
    assert listed == list(yaml.safe_load(Path("params.yaml").read_text())["runs"])


@pytest.mark.parametrize("damage", ["", "null", "<<<<<<< HEAD\n{}", "[]", json.dumps({"auroc": 1})])
def test_a_damaged_file_costs_one_line(folder, capsys, damage):
    (folder / "data/results/chest/scores.json").write_text(damage)
    (folder / "data/results/frozen/scores.json").unlink()
    summary()
    said = capsys.readouterr().out
    assert re.search(r"(?m)^chest +data/results/chest/scores.json is damaged; dvc repro", said)
    assert re.search(r"(?m)^frozen +no results yet", said)
    assert re.search(r"(?m)^unfrozen +0\.\d", said)


def test_without_results_it_says_what_to_run(folder):
    shutil.rmtree(folder / "data/results")
    with pytest.raises(UserError, match=r"no results; run the graph first, .*make repro"):
        summary()
