"""What the tests of `predict`, `validate` and `export` share: a folder with one run, trained in
seconds by the stages' own functions, and the commands as a user calls them in it."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from chestflow import files
from chestflow.data import arrays, captions
from stages.configure import configure
from stages.evaluate import evaluate
from stages.pretrain import pretrain
from stages.train import train

ROOT = Path(__file__).parents[1]
RUN, DATASET = "pneumonia", "pneumoniamnist"
DATASETS = ROOT / "datasets.yaml"


def build(folder: Path, params: dict, splits: dict, with_autoencoder: bool = True) -> Path:
    """Lay the files where dvc.yaml would, in a folder that stands for the repository's root."""
    longer = {"epochs": 8, "patience": 8}
    params = params | longer | {"autoencoder": params["autoencoder"] | longer}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (folder / "datasets.yaml").write_text(DATASETS.read_text())
    images, about = folder / "data/binary" / DATASET, folder / f"metrics/data/{DATASET}.json"
    arrays.write(images, "phantom", splits)
    files.write_json(about, captions.of_folder(images, "PneumoniaMNIST", "pneumonia").record())
    scratch, settings = folder / "models/scratch", folder / "data/settings"
    configure(RUN, folder / "params.yaml", DATASETS, scratch, settings)
    trained = folder / "models" / RUN
    train(settings / f"runs/{RUN}.json", images, scratch, trained)
    report, results = folder / f"metrics/runs/{RUN}.json", folder / "data/results" / RUN
    evaluate(RUN, about, images, trained, report, results, threads=1)
    if with_autoencoder:
        pretrain(DATASET, settings / "autoencoder.json", images, folder / "models/autoencoder")
    return folder


def call(folder: Path, *words: object) -> subprocess.CompletedProcess:
    """`chestflow <words>` in a folder, as from the repository's root."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "chestflow.cli", *map(str, words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
