"""The training loop of the classifier."""

import math
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor, nn

from chestflow.errors import UserError
from chestflow.models.cnn import Classifier
from chestflow.models.inference import batch_size, standardise
from chestflow.training import linear_probe
from chestflow.training.augmentation import augment
from chestflow.training.averaging import TAIL, WeightAverage
from chestflow.training.batches import EPOCH, Samples, batches
from chestflow.training.early_stopping import DIVERGED, EarlyStopping
from chestflow.training.freezing import LINEAR_PROBE, LearningRates, phases, set_mode, unfreeze
from chestflow.training.losses import class_weights, smoothed_loss, validate

# Of the schedule `plateau`, whose rate stays high while weights are averaged (averaging.TAIL).
WARM_UP = 0.15  # share of the training in which the rate rises
TAIL_RATE = 0.3  # of the highest rate: high enough to go on exploring
STATISTICS_IMAGES = 4096  # that set the batch-norm statistics of averaged weights


def fit(
    model: Classifier, train: Samples, val: Samples, settings, seed: int
) -> Iterator[dict[str, float]]:
    """Train phase after phase, yielding a row after each epoch. Once exhausted, the model holds the
    weights that `settings.keep` asks for: best on validation, last, or averaged.

    settings: anything with the fields of `schema.Settings`. A phase that trains nothing but the
    head is a linear probe, which is one epoch; any other has `settings.steps` steps, whatever the
    number of images. Each starts from the weights that the one before has kept.
    A row: phase, epoch, lr, train_loss, val_loss, val_auroc, val_balanced_accuracy, and improved;
    the last row with improved = 1 describes the weights that are kept.
    Raises UserError if the training diverged.
    """
    model.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    # The validation loss is balanced either way: else trainings with and without class weights
    # could not be compared.
    balance = class_weights(train.labels)
    weight = balance if settings.class_weights else torch.ones_like(balance)
    best = settings.keep == "best"
    stopping = EarlyStopping(model, settings.patience, settings.min_delta) if best else None
    epoch = 0
    for number, rates in enumerate(phases(settings), start=1):
        if stopping:
            stopping.waited = 0
        for lr, loss in train_phase(model, train, val, settings, rates, weight, generator):
            epoch += 1
            row = {"phase": number, "epoch": epoch, "lr": lr, "train_loss": loss}
            row |= validate(model, val, nn.CrossEntropyLoss(balance))
            improved = stopping is None or stopping.update(row["val_auroc"], row["val_loss"])
            yield row | {"improved": int(improved)}
            if stopping and stopping.stop:
                break
        if stopping:
            stopping.restore()
        elif not math.isfinite(row["val_loss"]):
            raise UserError(DIVERGED)
    model.requires_grad_(True)


def train_phase(
    model: Classifier,
    train: Samples,
    val: Samples,
    settings,
    rates: LearningRates,
    weight: Tensor,
    generator: torch.Generator,
) -> Iterator[tuple[float, float]]:
    """Yield learning rate and mean loss after each epoch of a phase.

    weight: (2,), of each class in the loss. With `keep: average`, the model holds the averaged
    weights when the last epoch is yielded.
    """
    if rates == LINEAR_PROBE:
        yield 0.0, linear_probe.fit(model, train, val, settings.augment, weight, generator)
        return
    trained = unfreeze(model, rates)
    groups = [{"params": part.parameters(), "lr": rates[name]} for name, part in trained.items()]
    optimiser = torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=True)
    scheduler = make_scheduler(optimiser, settings.schedule, settings.steps)
    averaged = settings.keep == "average"
    average = WeightAverage(model, trained, settings.steps) if averaged else None
    order = batches(len(train.labels), settings.batch_size, generator)
    for done in range(0, settings.steps, EPOCH):
        lr, losses = scheduler.get_last_lr()[0], []
        set_mode(model, trained)
        for index in islice(order, min(EPOCH, settings.steps - done)):
            logits = model(network_input(train.images[index], settings.augment, generator))
            labels = train.labels[index]
            loss = smoothed_loss(logits, labels, weight, settings.label_smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            scheduler.step()
            if average:
                average.update(model)
            losses.append(loss.detach())
        if average and done + EPOCH >= settings.steps:
            average.copy_to(model, statistics_inputs(train.images, settings.augment, generator))
        yield lr, torch.stack(losses).mean().item()


def network_input(images: Tensor, steps: list[str], generator: torch.Generator) -> Tensor:
    """A batch (N, H, W) uint8 -> augmented network inputs (N, 1, H, W)."""
    inputs = augment(standardise(images), steps, generator)
    return inputs.contiguous(memory_format=torch.channels_last)


def statistics_inputs(images: Tensor, steps: list[str], generator: torch.Generator):
    """The inputs over which averaged weights take their batch-norm statistics."""
    chosen = torch.randperm(len(images), generator=generator)[:STATISTICS_IMAGES]
    n_batches = -(-len(chosen) // batch_size(images, 512))
    for index in chosen.tensor_split(n_batches):
        yield network_input(images[index], steps, generator)


def make_scheduler(optimiser, schedule: str, steps: int):
    """schedule: onecycle (Smith & Topin 2018) | constant | plateau."""
    rates = torch.optim.lr_scheduler
    if schedule == "constant":
        return rates.ConstantLR(optimiser, factor=1.0)
    if schedule == "plateau":
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
