"""What the tests of `predict` and `export` share: a workspace with one run, trained in seconds by
the stages themselves, and the commands as a user calls them."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from stages.evaluate import evaluate
from stages.lib import data, parameters
from stages.pretrain import pretrain
from stages.scratch import scratch
from stages.train import train

ROOT = Path(__file__).parents[1]
ABOUT = data.About("PneumoniaMNIST", "phantom", ("healthy", "pneumonia"))


def build(folder: Path, params: dict, splits: dict, with_autoencoder: bool = True) -> Path:
    """Lay the files where dvc.yaml would, in a folder that stands for the repository's root."""
    longer = {"epochs": 8, "patience": 8}
    params = params | longer | {"autoencoder": params["autoencoder"] | longer}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    checked = parameters.load(folder / "params.yaml")
    films, models, plots = (folder / name for name in ("data/binary", "models", "plots"))
    films = films / "pneumoniamnist"
    data.write(films, ABOUT, splits)
    scratch(models / "scratch/model.safetensors")
    weights, drawn = models / "pneumonia/model.safetensors", models / "pneumonia/drawn.json"
    history, architecture = plots / "pneumonia/history.csv", plots / "pneumonia/architecture.txt"
    weights.parent.mkdir()
    start = models / "scratch/model.safetensors"
    train("pneumonia", checked, films, start, weights, drawn, history, architecture)
    report = folder / "metrics/pneumonia.json"
    evaluate("pneumonia", checked, films, weights, drawn, history, report, plots / "pneumonia")
    if not with_autoencoder:
        return folder
    known = models / "autoencoder/model.safetensors"
    record = [plots / "autoencoder/history.csv", folder / "metrics/autoencoder.json"]
    pretrain(checked, films, known, *record, plots / "autoencoder/reconstructions.png")
    return folder


def call(folder: Path, *words: object) -> subprocess.CompletedProcess:
    """`python -m stages.<words>` in a folder, as from the repository's root."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
