"""What a training begins with: its labelled images, and a network with the encoder of its start."""

from pathlib import Path

import numpy as np
import torch

from chestflow.data.arrays import Split
from chestflow.data.labels import sample
from chestflow.models import checkpoint
from chestflow.models.cnn import Classifier


def labelled(run, splits: dict[str, Split], k: int, keys: tuple[str, str]) -> dict[str, np.ndarray]:
    """Indices of the images whose labels training k of a run may see, by split.

    run: `schema.Training`; splits: train and val, at least; keys: the parameters that say how many,
    for errors. Raises UserError as `labels.sample` does.
    """
    numbers = {"train": run.labels, "val": run.val_labels}
    return {
        split: sample(splits[split].labels, n, run.seed + k, key)
        for (split, n), key in zip(numbers.items(), keys)
    }


def network(run, init: Path, k: int) -> Classifier:
    """The classifier that training k starts with: new, and, unless the run starts from scratch,
    with the encoder of training k of its start. init: the start's folder."""
    torch.manual_seed(run.seed + k)
    model = Classifier(**run.architecture)
    checkpoint.load_encoder(model, checkpoint.read_start(init, k)[0])
    return model
