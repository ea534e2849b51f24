"""Stage: train a run with other numbers of labels, for its label-efficiency curve.

Each point has the settings of the run. An epoch goes through few images several times, until it has
seen as many as `training.batches.EPOCH`.
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
from chestflow.data import labels as labelling
from chestflow.models import checkpoint, cnn, device, inference
from chestflow.training import classifier, freezing
from chestflow.training.batches import Samples

FEWEST = 20  # labelled validation images, whatever their share


def label_efficiency(settings: Path, wanted: Path, images: Path, init: Path, out: Path) -> None:
    """Writes, for each number of labels, each training's probabilities of the test images."""
    run, points = reading.training(settings), reading.points(wanted)
    splits = {name: arrays.read(images, name) for name in arrays.SPLITS}
    cells = [(n, k) for n in points.labels for k in range(run.trainings)]
    tested = [
        probabilities(run, splits, init, n, points.val_share, k)
        for n, k in tqdm(cells, desc=f"label_efficiency {run.name}", unit="training", delay=1)
    ]
    shape = (len(points.labels), run.trainings, len(splits["test"]))
    kept = {
        "labels": np.array(points.labels, np.int64),
        "actual": splits["test"].labels,
        "probability": np.array(tested, np.float64).reshape(shape),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(save(kept))
    about = captions.marked(run.dataset, arrays.origin(images))
    print(f"label_efficiency: {run.name}: {len(cells)} trainings on {about}")


def probabilities(
    run: Training, splits: dict, init: Path, labels: int, val_share: float, k: int
) -> np.ndarray:
    """Train once with so many labels, and with `val_share` times as many for validation; returns
    the probabilities of all test images, (N,)."""
    train, val, test = (splits[name] for name in arrays.SPLITS)
    here, seed = device.prepare(run.threads, run.seed + k), run.seed + k
    val_n = max(FEWEST, round(labels * val_share))
    drawn = labelling.sample(train.labels, labels, seed, "label_efficiency.labels")
    val_drawn = labelling.sample(
        val.labels, val_n if val_n < len(val) else "all", seed, "label_efficiency.val_share"
    )
    network = cnn.Classifier(**run.architecture).to(here)
    checkpoint.load_encoder(network, checkpoint.read_start(init, k)[0])
    plan = freezing.phases(run.strategy, run.blocks, run.lr, run.lr_factor, run.layer_decay)
    train_set, val_set = (Samples.to(here, s) for s in (train[drawn], val[val_drawn]))
    for _ in classifier.fit(network, train_set, val_set, run, plan, seed):
        pass
    return inference.probabilities(network.eval(), torch.from_numpy(test.images).to(here))


if __name__ == "__main__":
    stage.run(label_efficiency)
