"""Stage: train one run's classifier from its start; keep the weights that validation chooses."""

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torchinfo import summary
from tqdm import tqdm

from chestflow.core import tables
from chestflow.core.history import kept_epoch
from chestflow.images import arrays, captions, labelling
from chestflow.network import checkpoint, device, model
from chestflow.parameters import reading, stage
from chestflow.parameters.schema import Settings, Training
from chestflow.training import launch, loop, strategies
from chestflow.training.batching import Samples
from chestflow.training.processes import group


def train(settings: Path, images: Path, init: Path, out: Path) -> None:
    """In as many processes as the settings ask for."""
    processes = reading.training(settings).processes
    launch.spread("train", processes, train_together, settings, images, init, out)


def train_together(settings: Path, images: Path, init: Path, out: Path) -> None:
    run = reading.training(settings)
    splits = {name: arrays.read(images, name) for name in ("train", "val")}
    index, side = draw_labels(splits, run), splits["train"].images.shape[-1]
    here = device.prepare(run.threads, run.seed)
    network = build(run, init, side).to(here)
    train_set, val_set = (Samples.to(here, splits[name][index[name]]) for name in ("train", "val"))
    plan = strategies.phases(run.strategy, run.blocks, run.lr, run.lr_factor, run.layer_decay)
    epochs = loop.fit(network, train_set, val_set, run, plan, run.seed)
    if group().rank > 0:
        deque(epochs, maxlen=0)  # of several processes, the first writes and speaks for all
        return
    about = captions.marked(run.dataset, arrays.origin(images))
    describe(network, side, out)
    print(f"train: {run.name}: {model.n_parameters(network):,} parameters, {here}, {about}")
    epochs, history = timed(epochs) if run.timing else epochs, out / "history.csv"
    tables.write_csv(history, progress(epochs, len(plan) * run.epochs, run.name))
    print(f"train: {run.name}: {kept(history)}, {about}")
    data = {"dataset": run.dataset, "origin": arrays.origin(images), "side": side}
    checkpoint.save(out, network, {"run": run.name, **data, "architecture": run.architecture})
    tables.write_json(out / "drawn.json", {name: found.tolist() for name, found in index.items()})


def draw_labels(splits: dict[str, arrays.Split], run: Training) -> dict[str, np.ndarray]:
    """Indices of the labelled images that the run may see, by split."""
    key = f"runs.{run.name}"
    train, val = splits["train"].labels, splits["val"].labels
    return {
        "train": labelling.draw(train, run.labels, run.seed, f"{key}.labels"),
        "val": labelling.draw(val, run.val_labels, run.seed, f"{key}.val_labels"),
    }


def build(settings: Settings, init: Path, side: int) -> model.Classifier:
    """A new classifier whose encoder is carried over from the start, if that holds one."""
    model.check_side(settings.blocks, side)
    network = model.Classifier(**settings.architecture)
    checkpoint.load_encoder(network, checkpoint.read(init)[0])
    return network


def describe(network: model.Classifier, side: int, folder: Path) -> None:
    """The layers as torchinfo's table, for people, and as data, for the report."""
    found = summary(network, (1, 1, side, side), verbose=0)
    folder.mkdir(parents=True, exist_ok=True)
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
    """Add to each epoch the seconds since training began, validation included."""
    start = time.perf_counter()
    for row in epochs:
        yield row | {"seconds": round(time.perf_counter() - start, 1)}


def progress(epochs: Iterator[dict], most: int, run: str) -> Iterator[dict]:
    """Pass the epochs on, with a bar that shows the newest validation score."""
    with tqdm(epochs, total=most, desc=f"train {run}", unit="epoch", mininterval=1) as bar:
        for row in bar:
            bar.set_postfix(loss=f"{row['train_loss']:.3f}", val_auroc=f"{row['val_auroc']:.4f}")
            yield row


def kept(history: Path) -> str:
    """Which epoch's weights were kept, in words."""
    rows = tables.read_csv(history)
    best = kept_epoch(rows["improved"])
    return (
        f"kept epoch {rows['epoch'][best]:.0f} of {len(rows['epoch'])},"
        f" validation AUROC {rows['val_auroc'][best]:.3f}"
    )


if __name__ == "__main__":
    stage.run(train)
