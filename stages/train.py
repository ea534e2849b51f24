"""Stage: train one run's classifier several times, each from its start and with a seed of its own;
of each training, keep the weights that the settings ask for."""

import shutil
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torchinfo import summary
from tqdm import tqdm

from chestflow.core import history, tables
from chestflow.images import arrays, captions, labelling
from chestflow.network import checkpoint, device, model
from chestflow.parameters import reading, stage
from chestflow.parameters.schema import Training
from chestflow.training import launch, loop, strategies
from chestflow.training.batching import Samples
from chestflow.training.processes import group


def train(settings: Path, images: Path, init: Path, out: Path) -> None:
    """In as many processes as the settings ask for."""
    processes = reading.training(settings).processes
    launch.spread("train", processes, train_together, settings, images, init, out)


def train_together(settings: Path, images: Path, init: Path, out: Path) -> None:
    run = reading.training(settings)
    here = device.prepare(run.threads)
    epochs = trainings(run, images, init, out, here)
    if group().rank > 0:
        deque(epochs, maxlen=0)  # of several processes, the first writes and speaks for all
        return
    epochs = timed(epochs) if run.timing else epochs
    tables.write_csv(out / "history.csv", progress(epochs, run))
    found = tables.read_csv(out / "history.csv")
    shown = history.median_training(history.kept(found, "val_loss"))
    shutil.copy(checkpoint.training(out, shown) / checkpoint.FILE, out / checkpoint.FILE)
    network = checkpoint.load_classifier(out)
    describe(network, arrays.read(images, "train").images.shape[-1], out)
    about = captions.marked(run.dataset, arrays.origin(images))
    scores = ", ".join(f"{score:.3f}" for score in history.kept(found, "val_auroc"))
    size = f"{model.n_parameters(network):,} parameters"
    print(f"train: {run.name}: {size}, {here}, validation AUROC {scores}, {about}")


def trainings(run: Training, images: Path, init: Path, out: Path, here) -> Iterator[dict]:
    """Train the run's networks one after another, yielding a row per epoch, and write each."""
    splits = {name: arrays.read(images, name) for name in ("train", "val")}
    side = splits["train"].images.shape[-1]
    data = {"dataset": run.dataset, "origin": arrays.origin(images), "side": side}
    about = {"run": run.name, **data, "architecture": run.architecture}
    about |= {"class_weights": run.class_weights}
    plan = strategies.phases(run.strategy, run.blocks, run.lr, run.lr_factor, run.layer_decay)
    for k in range(run.trainings):
        seed, folder = run.seed + k, checkpoint.training(out, k)
        torch.manual_seed(seed)
        index = draw_labels(splits, run, seed)
        network = build(run, init, k, side).to(here)
        train_set, val_set = (Samples.to(here, splits[s][index[s]]) for s in ("train", "val"))
        for row in loop.fit(network, train_set, val_set, run, plan, seed):
            yield {"training": k, **row}
        if group().rank == 0:
            checkpoint.save(folder, network, about | {"seed": seed})
            drawn = {name: found.tolist() for name, found in index.items()}
            tables.write_json(folder / "drawn.json", drawn)


def draw_labels(splits: dict[str, arrays.Split], run: Training, seed: int) -> dict[str, np.ndarray]:
    """Indices of the labelled images that a training may see, by split."""
    key = f"runs.{run.name}"
    train, val = splits["train"].labels, splits["val"].labels
    return {
        "train": labelling.draw(train, run.labels, seed, f"{key}.labels"),
        "val": labelling.draw(val, run.val_labels, seed, f"{key}.val_labels"),
    }


def build(run: Training, init: Path, k: int, side: int) -> model.Classifier:
    """A new classifier whose encoder is carried over from training k of the start, if that holds
    one."""
    model.check_side(run.blocks, side)
    network = model.Classifier(**run.architecture)
    weights, about = checkpoint.read_start(init, k)
    checkpoint.load_encoder(network, weights)
    unlike = checkpoint.unlike_input(about, run.contrast)
    if unlike and k == group().rank == 0:
        print(f"train: {run.name}: {unlike}")
    return network


def describe(network: model.Classifier, side: int, folder: Path) -> None:
    """The layers as torchinfo's table, for people, and as data, for the report."""
    found = summary(network, (1, 1, side, side), verbose=0)
    (folder / "architecture.txt").write_text(f"{network}\n\n{found}\n", encoding="utf-8")
    layers = [
        {
            "kind": layer.class_name,
            "depth": layer.depth,
            "shape": layer.output_size[1:],
            "parameters": layer.num_params if layer.is_leaf_layer else 0,
        }
        for layer in found.summary_list
        if layer.depth
    ]
    tables.write_exact_json(folder / "architecture.json", {"layers": layers})


def timed(epochs: Iterator[dict]) -> Iterator[dict]:
    """Add to each epoch the seconds since its training began, validation included."""
    training, ended = None, time.perf_counter()
    for row in epochs:
        if row["training"] != training:
            training, start = row["training"], ended
        ended = time.perf_counter()
        yield row | {"seconds": round(ended - start, 1)}


def progress(epochs: Iterator[dict], run: Training) -> Iterator[dict]:
    """Pass the epochs on, with a bar that shows the newest validation score."""
    most = run.trainings * run.epochs
    title = f"train {run.name}"
    # No bar within the first second: a mistake in the settings is one line, without it.
    with tqdm(epochs, total=most, desc=title, unit="epoch", mininterval=1, delay=1) as bar:
        for row in bar:
            bar.set_postfix(loss=f"{row['train_loss']:.3f}", val_auroc=f"{row['val_auroc']:.4f}")
            yield row


if __name__ == "__main__":
    stage.run(train)
