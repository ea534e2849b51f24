"""A workspace with one run, trained in seconds by the stages themselves, and what users hand to
the commands: images, and mistakes."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from chestflow import files
from chestflow.config import reading
from chestflow.data import arrays, captions
from chestflow.errors import UserError
from stages.configure import configure
from stages.evaluate import evaluate
from stages.train import train

ROOT = Path(__file__).parents[1]
DATASET, RUN = "pneumoniamnist", "pneumonia"
DATASETS = ROOT / "datasets.yaml"


def build(folder: Path, params: dict, splits: dict) -> Path:
    """Lay the files where dvc.yaml would, in a folder that stands for the repository's root."""
    params = params | {"steps": 40, "patience": 8}
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (folder / "datasets.yaml").write_text(DATASETS.read_text())
    images, models = folder / "data/binary" / DATASET, folder / "models"
    arrays.write(images, "phantom", splits)
    declared = reading.dataset(DATASETS, DATASET)
    about = folder / f"metrics/data/{DATASET}.json"
    caption = captions.of_dataset(declared.title, 28, "phantom", declared.positive)
    files.write_json(about, caption.record())
    configure(RUN, folder / "params.yaml", DATASETS, models / "scratch", folder / "data/settings")
    settings = folder / f"data/settings/runs/{RUN}.json"
    train(settings, images, models / "scratch", models / RUN)
    metrics, results = folder / f"metrics/runs/{RUN}.json", folder / "data/results" / RUN
    evaluate(RUN, about, images, models / RUN, metrics, results, threads=1)
    return folder


def save(path: Path, picture: np.ndarray | Image.Image, **options) -> Path:
    """Write an image, and make the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **options)
    return path


def refusal(function, *given) -> str:
    """The one line in which something is refused."""
    with pytest.raises(UserError) as error:
        function(*given)
    assert "\n" not in str(error.value)
    return str(error.value)
