"""Training the autoencoder, which needs no labels."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F

from chestflow.models.autoencoder import Autoencoder, mean_squared_error
from chestflow.models.inference import standardise
from chestflow.training.batches import EPOCH, batches
from chestflow.training.early_stopping import EarlyStopping


def fit(model: Autoencoder, train: Tensor, val: Tensor, settings, seed: int) -> Iterator[dict]:
    """Train without labels, yielding a row after each epoch; once exhausted, the model holds the
    weights with the lowest validation error.

    train, val: (N, H, W) uint8 on the model's device; settings: as `schema.Autoencoder`.
    A row: epoch, train_mse, val_mse (of pixels from 0 to 1), and improved.
    """
    model.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), weight_decay=settings.weight_decay, fused=True
    )
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.lr, total_steps=settings.steps
    )
    stopping = EarlyStopping(model, settings.patience, min_delta=0.0)
    order = batches(len(train), settings.batch_size, generator)
    for epoch, done in enumerate(range(0, settings.steps, EPOCH), start=1):
        model.train()
        losses = []
        for index in islice(order, min(EPOCH, settings.steps - done)):
            images = standardise(train[index]).contiguous(memory_format=torch.channels_last)
            wanted = model.contrasted(images)
            loss = F.mse_loss(model.rebuild(wanted), wanted)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            scheduler.step()
            losses.append(loss.detach())
        train_mse = torch.stack(losses).mean().item() / (2 * model.span) ** 2
        val_mse = mean_squared_error(model, val)
        improved = stopping.update(-val_mse)
        row = {"epoch": epoch, "train_mse": train_mse, "val_mse": val_mse}
        yield row | {"improved": int(improved)}
        if stopping.stop:
            break
    stopping.restore()
