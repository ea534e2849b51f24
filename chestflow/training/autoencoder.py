"""Training the autoencoder, which needs no labels."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from chestflow.models.autoencoder import Autoencoder, mean_squared_error
from chestflow.models.inference import standardise
from chestflow.training.batches import batches
from chestflow.training.early_stopping import EarlyStopping


def fit(model: Autoencoder, train: Tensor, val: Tensor, settings, seed: int) -> Iterator[dict]:
    """Train without labels, yielding a row after each epoch; once exhausted, the model holds the
    weights with the lowest validation error.

    train, val: (N, H, W) uint8 on the model's device; settings: `schema.Pretraining`.
    A row: epoch, train_mse, val_mse (of images from 0 to 1), and improved.
    """
    model.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), weight_decay=settings.weight_decay, fused=True
    )
    steps = settings.epochs * len(list(batches(len(train), settings.batch_size, generator)))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.lr, total_steps=steps)
    stopping = EarlyStopping(model, settings.patience, min_delta=0.0)
    for epoch in range(1, settings.epochs + 1):
        model.train()
        total = torch.zeros((), device=train.device)
        for index in batches(len(train), settings.batch_size, generator):
            images = standardise(train[index]).contiguous(memory_format=torch.channels_last)
            loss = F.mse_loss(model(images), images)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            scheduler.step()
            total += loss.detach() * len(index) / 4  # of [-1, 1] -> of [0, 1]
        val_mse = mean_squared_error(model, val)
        improved = stopping.update(-val_mse)
        row = {"epoch": epoch, "train_mse": float(total) / len(train), "val_mse": val_mse}
        yield row | {"improved": int(improved)}
        if stopping.stop:
            break
    stopping.restore()
