"""Stage: train the autoencoder several times, without labels, each with a seed of its own; of each
training, keep the weights with the lowest validation error."""

import shutil
from pathlib import Path

import torch
from tqdm import tqdm

from chestflow import files, history, stage
from chestflow.config import reading
from chestflow.data import arrays, captions
from chestflow.models import checkpoint, device
from chestflow.models.autoencoder import Autoencoder
from chestflow.training import autoencoder
from chestflow.training.batches import epochs


def pretrain(dataset: str, settings: Path, images: Path, out: Path) -> None:
    chosen = reading.settings(settings)
    here = device.prepare(chosen.threads)
    train, val = (
        torch.from_numpy(arrays.read(images, split).images).to(here) for split in ("train", "val")
    )
    side = train.shape[-1]
    encoder = {key: getattr(chosen, key) for key in ("width", "blocks", "contrast")}
    rows: list[dict] = []
    total = chosen.trainings * epochs(chosen.steps)
    bar = tqdm(total=total, desc="pretrain", unit="epoch", delay=1)
    for k in range(chosen.trainings):
        seed = chosen.seed + k
        torch.manual_seed(seed)
        model = Autoencoder(**encoder, side=side, code=chosen.code, dropout=chosen.dropout)
        for row in autoencoder.fit(model.to(here), train, val, chosen, seed):
            rows.append({"training": k, **row})
            files.write_csv(out / "history.csv", rows)
            bar.set_postfix(val_mse=f"{row['val_mse']:.5f}")
            bar.update()
        about = {"dataset": dataset, "architecture": encoder, "seed": seed}
        checkpoint.save(checkpoint.training(out, k), model, about)
    bar.close()
    errors = history.kept(files.read_csv(out / "history.csv"), "val_mse")
    representative = checkpoint.training(out, history.representative(errors))
    shutil.copy(representative / checkpoint.FILE, out / checkpoint.FILE)
    data = captions.marked(dataset, arrays.origin(images))
    print(f"pretrain: validation error {', '.join(f'{e:.5f}' for e in errors)}, {data}")


if __name__ == "__main__":
    stage.run(pretrain)
