"""Stage: train a run with other numbers of labels, and with its own number for fewer steps.

Each point has the settings of the run otherwise, the number of steps included, so that a curve over
labels shows what labels are worth, and not how long training was.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save
from tqdm import tqdm

from chestflow import stage
from chestflow.config import reading
from chestflow.config.schema import Training
from chestflow.data import arrays, captions
from chestflow.models import device, inference
from chestflow.training import classifier, setup
from chestflow.training.batches import Samples


def label_efficiency(points: Path, images: Path, init: Path, out: Path) -> None:
    """Writes, for each point, its labels and steps (0 of a linear probe), and each training's
    probabilities of the test images."""
    wanted = reading.settings(points).points
    splits = {name: arrays.read(images, name) for name in arrays.SPLITS}
    cells = [(point, k) for point in wanted for k in range(point.trainings)]
    bar = tqdm(cells, desc=f"label_efficiency {points.stem}", unit="training", delay=1)
    trained = [probabilities(point, splits, init, k) for point, k in bar]
    trainings = wanted[0].trainings if wanted else 1
    shape = (len(wanted), trainings, len(splits["test"]))
    numbers = [len(splits["train"]) if p.labels == "all" else p.labels for p in wanted]
    kept = {
        "labels": np.array(numbers, np.int64),
        "steps": np.array([point.steps or 0 for point in wanted], np.int64),
        "actual": splits["test"].labels,
        "probability": np.array(trained, np.float64).reshape(shape),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(save(kept))
    about = captions.marked(images.name, arrays.origin(images))
    print(f"label_efficiency: {points.stem}: {len(cells)} trainings on {about}")


def probabilities(
    point: Training, splits: dict[str, arrays.Split], init: Path, k: int
) -> np.ndarray:
    """Training k of a point; returns the probabilities of all test images, (N,)."""
    here = device.prepare(point.threads)
    if point.val_labels != "all":  # a small data set may have fewer validation images
        fewer = min(point.val_labels, len(splits["val"]))
        point = Training(**vars(point) | {"val_labels": fewer})
    keys = "label_efficiency.labels", "label_efficiency.val_share"
    labelled = setup.labelled(point, splits, k, keys)
    network = setup.network(point, init, k).to(here)
    train, val = (Samples.to(here, splits[s][labelled[s]]) for s in ("train", "val"))
    for _ in classifier.fit(network, train, val, point, point.seed + k):
        pass
    return inference.probabilities(network.eval(), torch.from_numpy(splits["test"].images).to(here))


if __name__ == "__main__":
    stage.run(label_efficiency)
