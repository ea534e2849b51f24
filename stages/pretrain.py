"""Stage: train the autoencoder, without labels, and keep the weights best on validation."""

from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from chestflow.core import tables
from chestflow.images import arrays, captions
from chestflow.network import checkpoint, device, model
from chestflow.network.autoencoder import Autoencoder
from chestflow.parameters import reading, stage
from chestflow.training import autoencoding


def pretrain(
    dataset: str,
    settings: Path,
    images: Path,
    out: Path,
) -> None:
    chosen = reading.pretraining(settings)
    here = device.prepare(chosen.threads, chosen.seed)
    train, val = (load(images, split).to(here) for split in ("train", "val"))
    side = train.shape[-1]
    model.check_side(chosen.blocks, side)
    network = Autoencoder(chosen.width, chosen.blocks, side, chosen.code, chosen.dropout).to(here)
    epochs = autoencoding.fit(network, train, val, chosen, chosen.seed)
    tables.write_csv(out / "history.csv", progress(epochs, chosen.epochs))
    architecture = {"width": chosen.width, "blocks": chosen.blocks}
    checkpoint.save(out, network, {"dataset": dataset, "architecture": architecture})
    lowest = min(tables.read_csv(out / "history.csv")["val_mse"])
    about = captions.marked(dataset, arrays.origin(images))
    print(f"pretrain: validation error {lowest:.5f}, {about}")


def load(images: Path, split: str) -> torch.Tensor:
    return torch.from_numpy(arrays.read(images, split).images)


def progress(epochs: Iterator[dict], most: int) -> Iterator[dict]:
    with tqdm(epochs, total=most, desc="pretrain", unit="epoch", mininterval=1) as bar:
        for row in bar:
            bar.set_postfix(val_mse=f"{row['val_mse']:.5f}")
            yield row


if __name__ == "__main__":
    stage.run(pretrain)
