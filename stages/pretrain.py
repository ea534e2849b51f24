"""Stage: train the autoencoder several times, without labels, each with a seed of its own; of each
training, keep the weights with the lowest validation error."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from chestflow.core import history, tables
from chestflow.images import arrays, captions
from chestflow.network import checkpoint, device, model
from chestflow.network.autoencoder import Autoencoder
from chestflow.parameters import reading, stage
from chestflow.parameters.schema import Pretraining
from chestflow.training import autoencoding


def pretrain(dataset: str, settings: Path, images: Path, out: Path) -> None:
    chosen = reading.pretraining(settings)
    here = device.prepare(chosen.threads)
    train, val = (load(images, split).to(here) for split in ("train", "val"))
    epochs = trainings(dataset, chosen, train, val, out)
    most = chosen.trainings * chosen.epochs
    tables.write_csv(out / "history.csv", progress(epochs, most))
    errors = history.kept(tables.read_csv(out / "history.csv"), "val_mse")
    shown = checkpoint.training(out, history.median_training(errors))
    shutil.copy(shown / checkpoint.FILE, out / checkpoint.FILE)
    about = captions.marked(dataset, arrays.origin(images))
    print(f"pretrain: validation error {', '.join(f'{e:.5f}' for e in errors)}, {about}")


def load(images: Path, split: str) -> torch.Tensor:
    return torch.from_numpy(arrays.read(images, split).images)


def trainings(
    dataset: str, chosen: Pretraining, train: torch.Tensor, val: torch.Tensor, out: Path
) -> Iterator[dict]:
    """Train one autoencoder after another, yielding a row per epoch, and write each."""
    side = train.shape[-1]
    model.check_side(chosen.blocks, side)
    encoder = chosen.model_dump(include={"width", "blocks"})
    about = {"dataset": dataset, "architecture": encoder}
    for k in range(chosen.trainings):
        seed = chosen.seed + k
        torch.manual_seed(seed)
        network = Autoencoder(**encoder, side=side, code=chosen.code, dropout=chosen.dropout)
        network.to(train.device)
        for row in autoencoding.fit(network, train, val, chosen, seed):
            yield {"training": k, **row}
        checkpoint.save(checkpoint.training(out, k), network, about | {"seed": seed})


def progress(epochs: Iterator[dict], most: int) -> Iterator[dict]:
    with tqdm(epochs, total=most, desc="pretrain", unit="epoch", mininterval=1, delay=1) as bar:
        for row in bar:
            bar.set_postfix(val_mse=f"{row['val_mse']:.5f}")
            yield row


if __name__ == "__main__":
    stage.run(pretrain)
