"""What the tests of `predict` and `export` share: a workspace with one run, trained in seconds by
the stages themselves, and the commands as a user calls them."""

import os
import subprocess
import sys
from pathlib import Path

import yaml
from stages.scratch import scratch

from chestflow.config import reading
from chestflow.data import arrays
from stages.configure import configure
from stages.evaluate import evaluate
from stages.pretrain import pretrain
from stages.reconstruct import reconstruct
from stages.train import train

ROOT = Path(__file__).parents[1]
DATASET = "pneumoniamnist"
DATASETS = ROOT / "datasets.yaml"


def build(folder: Path, params: dict, splits: dict, with_autoencoder: bool = True) -> Path:
    """Lay the files where dvc.yaml would, in a folder that stands for the repository's root."""
    longer = {"epochs": 8, "patience": 8}
    params = params | longer | {"autoencoder": params["autoencoder"] | longer}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (folder / "datasets.yaml").write_text(DATASETS.read_text())
    arrays.write(folder / "data/binary" / DATASET, "phantom", splits)
    configure("pneumonia", folder / "params.yaml", DATASETS, folder / "data/settings")
    scratch(folder / "models/scratch")
    train_run(folder)
    evaluate_run(folder)
    if with_autoencoder:
        pretrain_autoencoder(folder)
    return folder


def train_run(folder: Path, run: str = "pneumonia", start: str = "scratch") -> None:
    """Stage `train` on the files of a folder."""
    train(
        folder / f"data/settings/runs/{run}.json",
        folder / "data/binary" / DATASET,
        folder / "models" / start,
        folder / "models" / run,
    )


def evaluate_run(folder: Path, run: str = "pneumonia", start: str = "scratch") -> None:
    """Stage `evaluate`, likewise."""
    params = reading.params(folder / "params.yaml")
    evaluate(
        run,
        DATASET,
        folder / "datasets.yaml",
        folder / "data/binary" / DATASET,
        folder / "models" / run,
        folder / "models" / start,
        folder / "metrics/{kind}" / f"{run}.json",
        folder / f"data/results/{run}",
        seed=0,
        threads=1,
        gradcam=params.gradcam,
        latent=params.latent,
    )


def pretrain_autoencoder(folder: Path) -> None:
    """Stage `pretrain`, likewise, on the images of the one data set there is."""
    pretrain(
        DATASET,
        folder / "data/settings/autoencoder.json",
        folder / "data/binary" / DATASET,
        folder / "models/autoencoder",
    )


def reconstruct_images(folder: Path) -> None:
    """Stage `reconstruct`, likewise."""
    reconstruct(
        DATASET,
        folder / "datasets.yaml",
        folder / "data/binary" / DATASET,
        folder / "models/autoencoder",
        folder / "metrics/autoencoder.json",
        folder / "data/results/autoencoder/examples.safetensors",
        seed=0,
        threads=1,
    )


def call(folder: Path, *words: object) -> subprocess.CompletedProcess:
    """`chestflow <words>` in a folder, as from the repository's root."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "chestflow", *map(str, words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
