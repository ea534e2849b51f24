"""The training loop of the classifier."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from chestflow.augmentation import augment
from chestflow.core.errors import UserError
from chestflow.network.inference import batch_size, standardise
from chestflow.network.model import Classifier
from chestflow.training.batching import Samples, epoch_batches, passes
from chestflow.training.keeping import DIVERGED, TAIL, Average, EarlyStopping
from chestflow.training.objectives import class_weights, smoothed_loss, validate
from chestflow.training.processes import Group
from chestflow.training.processes import group as own_group
from chestflow.training.strategies import Phase, freeze_all_but, set_mode

# Of the schedule `plateau`, whose rate stays high while weights are averaged (keeping.TAIL).
WARM_UP = 0.15  # share of the training in which the rate rises
TAIL_RATE = 0.3  # of the highest rate: high enough to go on exploring
SETTLING = 4096  # images that set the batch-norm statistics of averaged weights


def fit(
    model: Classifier, train: Samples, val: Samples, settings, plan: list[Phase], seed: int
) -> Iterator[dict]:
    """Train phase after phase, yielding a row after each epoch. Once exhausted, the model holds the
    weights that `settings.keep` asks for: best on validation, last, or averaged.

    settings: anything with the fields of `schema.Settings`. The phases share the epochs, so that
    every strategy sees as many images; each starts from the weights that the one before has kept.
    In a process group, every process is given the same and computes its share of each batch.
    A row: phase, epoch, lr, train_loss, val_loss, val_auroc, val_balanced_accuracy, and improved;
    the last row with improved = 1 describes the weights that are kept.
    Raises UserError if the training diverged.
    """
    group = own_group()
    group.synchronise(model)
    model.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    balanced = nn.CrossEntropyLoss(class_weights(train.labels))
    stopping = EarlyStopping(model, settings.patience, settings.min_delta)
    epochs, epoch = max(1, settings.epochs // len(plan)), 0
    for number, phase in enumerate(plan, start=1):
        stopping.waited = 0
        for row in _train_phase(
            model, phase, epochs, train, val, settings, balanced, generator, stopping, group
        ):
            epoch += 1
            yield {"phase": number, "epoch": epoch, **row}
        if settings.keep == "best":
            stopping.restore()
        elif not math.isfinite(row["val_loss"]):
            raise UserError(DIVERGED)
    model.requires_grad_(True)


def _train_phase(
    model, phase, epochs, train, val, settings, balanced, generator, stopping, group
) -> Iterator[dict]:
    trained = freeze_all_but(model, phase)
    optimiser = torch.optim.AdamW(
        [{"params": part.parameters(), "lr": phase[name]} for name, part in trained.items()],
        weight_decay=settings.weight_decay,
        fused=True,
    )
    per_epoch = len(list(epoch_batches(len(train.labels), settings.batch_size, torch.Generator())))
    steps = epochs * per_epoch
    scheduler = _scheduler(optimiser, settings, steps)
    average = Average(model, trained, steps) if settings.keep == "average" else None
    # The validation loss is balanced either way: else trainings with and without class weights
    # could not be compared.
    weight = balanced.weight if settings.class_weights else torch.ones_like(balanced.weight)
    for epoch in range(epochs):
        rate = scheduler.get_last_lr()[0]
        total = torch.zeros((), device=train.images.device)
        set_mode(model, trained)
        for index in epoch_batches(len(train.labels), settings.batch_size, generator):
            images = network_input(train.images[index], settings, generator, group)
            logits = group.gather(model(images))
            value = smoothed_loss(logits, train.labels[index], weight, settings.label_smoothing)
            optimiser.zero_grad()
            value.backward()
            group.sum_gradients(model)
            optimiser.step()
            scheduler.step()
            if average:
                average.step(model)
            total += value.detach() * len(index)
        if average and epoch == epochs - 1:
            average.settle(model, settling(train.images, settings, generator, group))
        scores = group.agree(validate(model, val, balanced))
        improved = settings.keep != "best" or stopping.update(
            scores["val_auroc"], scores["val_loss"]
        )
        train_loss = total.item() / (len(train.labels) * passes(len(train.labels)))
        yield {"lr": rate, "train_loss": train_loss, **scores, "improved": int(improved)}
        if stopping.stop:
            return


def network_input(images: Tensor, settings, generator: torch.Generator, group: Group) -> Tensor:
    """A batch (n, H, W) uint8 -> this process's share of it, augmented: (own, 1, H, W)."""
    inputs = augment(standardise(images), settings.augment, generator)
    return inputs[group.share(len(images))].contiguous(memory_format=torch.channels_last)


def settling(images: Tensor, settings, generator: torch.Generator, group: Group):
    """The inputs over which averaged weights take their batch-norm statistics."""
    chosen = torch.randperm(len(images), generator=generator)[:SETTLING]
    n_batches = -(-len(chosen) // batch_size(images, 512))
    for index in chosen.tensor_split(n_batches):
        yield network_input(images[index], settings, generator, group)


def _scheduler(optimiser, settings, steps: int):
    rates = torch.optim.lr_scheduler
    if settings.schedule == "constant":
        return rates.ConstantLR(optimiser, factor=1.0)
    if settings.schedule == "plateau":
        return rates.LambdaLR(optimiser, lambda step: plateau(step / steps))
    highest = [group["lr"] for group in optimiser.param_groups]
    return rates.OneCycleLR(optimiser, highest, total_steps=steps)


def plateau(done: float) -> float:
    """Share of the highest rate after a share of the training: a linear rise, half a cosine down,
    and then level."""
    if done < WARM_UP:
        return 0.04 + 0.96 * done / WARM_UP
    fall = min(1.0, (done - WARM_UP) / (1 - TAIL - WARM_UP))
    return TAIL_RATE + (1 - TAIL_RATE) * (1 + math.cos(math.pi * fall)) / 2
