"""`chestflow summary`: the runs that are declared, whatever else lies in the folder."""

import re
import shutil
from pathlib import Path

import samples
import yaml

from chestflow import cli


def test_it_lists_the_declared_runs_with_or_without_results(tmp_path, monkeypatch, capsys):
    samples.build(tmp_path, trainings=1)
    monkeypatch.chdir(tmp_path)
    shutil.move("data/results/frozen", "data/results/former")
    options = cli.parse(["summary"])
    options.function(options)
    said = capsys.readouterr().out
    declared = list(yaml.safe_load(Path("params.yaml").read_text())["runs"])
    assert re.findall(r"(?m)^(\w+) +(?:0\.\d+ \[|no results yet)", said) == declared
    assert re.findall(r"(?m)^(\w+) +no results yet", said) == ["frozen"]
