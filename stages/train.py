"""Stage: train one run's classifier from its start, and keep the weights best on validation."""

import json
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from torchinfo import summary
from tqdm import tqdm

from stages.lib import command, data, distributed, launch, model, runtime, tables, training
from stages.lib.parameters import Params, Run, Settings, entry


def train(
    run: str,
    params: Params,
    films: Path,
    init: Path,
    weights: Path,
    drawn: Path,
    history: Path,
    architecture: Path,
) -> None:
    chosen, settings = entry(params.runs, run, "run"), params.settings_of(run)
    splits = {name: data.read(films, name) for name in ("train", "val")}
    index = draw_labels(splits, run, chosen, params.seed)
    device = runtime.prepare(params.threads, params.seed)
    network = build(settings, init, side=splits["train"].images.shape[-1]).to(device)
    labelled = [training.Films.to(device, splits[name][index[name]]) for name in index]
    plan = training.phases(
        chosen.strategy, settings.blocks, settings.lr, chosen.lr_factor, chosen.layer_decay
    )
    epochs = training.fit(network, *labelled, settings, plan, params.seed)
    if distributed.group().rank > 0:
        deque(epochs, maxlen=0)  # of several processes, the first writes and speaks for all
        return
    describe(network, splits["train"].images.shape[-1], architecture)
    caption = data.read_about(films).caption()
    print(f"train: {run}: {model.n_parameters(network):,} weights, {device}, {caption}")
    epochs = timed(epochs) if params.timing else epochs
    tables.write_csv(history, progress(epochs, len(plan) * settings.epochs, run))
    print(f"train: {run}: {kept(history)}, {caption}")
    model.save(
        weights, network, {"run": run, "data": caption, "architecture": settings.architecture}
    )
    drawn.write_text(json.dumps({name: i.tolist() for name, i in index.items()}) + "\n")


def draw_labels(splits: dict[str, data.Split], run: str, chosen: Run, seed: int) -> dict:
    """Indices of the labelled films that the run may see, by split."""
    key = f"runs.{run}"
    return {
        "train": data.draw(splits["train"].labels, chosen.labels, seed, f"{key}.labels"),
        "val": data.draw(splits["val"].labels, chosen.val_labels, seed, f"{key}.val_labels"),
    }


def build(settings: Settings, init: Path, side: int) -> model.Classifier:
    """A new classifier whose encoder is carried over from the start, if that holds one."""
    model.check_side(settings.blocks, side)
    network = model.Classifier(**settings.architecture)
    model.load_encoder(network, model.read(init)[0])
    return network


def describe(network: model.Classifier, side: int, path: Path) -> None:
    table = summary(network, (1, 1, side, side), verbose=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{network}\n\n{table}\n")


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
    best = training.kept(rows["improved"])
    return (
        f"kept epoch {rows['epoch'][best]:.0f} of {len(rows['epoch'])},"
        f" validation AUROC {rows['val_auroc'][best]:.3f}"
    )


if __name__ == "__main__":
    command.run(launch.spread(train))
