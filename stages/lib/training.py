"""Training: strategies of freezing, early stopping, and the loop itself."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.lib import distributed
from stages.lib.augmentation import augment
from stages.lib.data import Split
from stages.lib.distributed import Group
from stages.lib.errors import UserError
from stages.lib.model import Classifier, batch_size, in_batches, standardise
from stages.lib.resampling import auroc, decisions

Phase = dict[str, float]  # part of the network that is trained -> its learning rate
DIVERGED = "training diverged: the weights have no score; try a lower lr"
EPOCH = 1000  # films that an epoch has at least
WARM_UP = 0.15  # share of a training in which the rate of `plateau` rises
TAIL = 0.35  # share at its end in which that rate stays, and over which `average` goes
TAIL_RATE = 0.3  # of the highest rate
EVERY = 6  # steps of the tail between two weights that `average` takes in
SETTLING = 4096  # films over which batch norm then takes its averages anew


@dataclass(frozen=True)
class Films:
    """One split on the device that trains: images (N, H, W) uint8, labels (N,) int64."""

    images: Tensor
    labels: Tensor

    @classmethod
    def to(cls, device: torch.device, split: Split) -> "Films":
        """Mapped images stay in their file where the processor trains, and move to a GPU whole."""
        images, labels = (torch.from_numpy(a) for a in (split.images, split.labels))
        return cls(images.to(device), labels.long().to(device))


def phases(strategy: str, blocks: int, lr: float, factor: float, decay: float) -> list[Phase]:
    """What is trained after what, at which rate; parts are counted from the head down.

    unfrozen: everything at once. frozen: the head alone, on the encoder as it came.
    headfirst: the head alone, then everything at `factor` times the rate, times `decay` for each
    part further from the head (LP-FT, Kumar et al. 2022; layer-wise rates, Howard & Ruder 2018).
    gradual: the head, then one part more in each phase, at the rates of headfirst.
    """
    parts = ["head", *(f"encoder.{i}" for i in reversed(range(blocks)))]
    careful = {part: lr * factor * decay**depth for depth, part in enumerate(parts)}
    head = {"head": lr}
    return {
        "unfrozen": [dict.fromkeys(parts, lr)],
        "frozen": [head],
        "headfirst": [head, careful],
        "gradual": [head, *({p: careful[p] for p in parts[: k + 1]} for k in range(1, len(parts)))],
    }[strategy]


def class_weights(labels: Tensor) -> Tensor:
    """(2,) weights by inverse class frequency, n / (2 n_c): both classes weigh the same in sum."""
    return len(labels) / (2 * torch.bincount(labels, minlength=2).float())


def smoothed_loss(logits: Tensor, labels: Tensor, weight: Tensor, smoothing: float) -> Tensor:
    """Mean cross-entropy of (N, 2) logits with labels of which the share `smoothing` is spread over
    both classes (Szegedy et al. 2016, sec. 7); a film weighs as its class does, `weight` (2,).
    Torch's own `label_smoothing` weighs what is spread as the class that it goes to: the rarer
    class would be spread more, and decisions at .5 would lean to it."""
    logs, weights = logits.log_softmax(dim=1), weight[labels]
    spread = -(weights * logs.mean(dim=1)).sum() / weights.sum()
    return (1 - smoothing) * F.nll_loss(logs, labels, weight) + smoothing * spread


class EarlyStopping:
    """Keeps the best weights and says when to stop.

    Better is a score that exceeds the highest by more than `min_delta`, or one within `min_delta`
    of the highest that comes with a lower loss: where scores saturate, a difference as small as
    that is chance, and the loss still tells. After `patience` epochs without a better one, `stop`
    is true.
    """

    def __init__(self, model: nn.Module, patience: int, min_delta: float) -> None:
        self.model, self.patience, self.min_delta = model, patience, min_delta
        self.highest, self.loss, self.waited, self.weights = -np.inf, np.inf, 0, {}

    def update(self, score: float, loss: float = np.inf) -> bool:
        """Take an epoch's score, and loss if there is one; true if its weights are kept."""
        equal = abs(score - self.highest) <= self.min_delta and loss < self.loss
        improved = score > self.highest + self.min_delta or equal
        self.waited = 0 if improved else self.waited + 1
        if improved:
            self.highest, self.loss = max(self.highest, score), loss
            self.weights = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        return improved

    @property
    def stop(self) -> bool:
        return self.waited >= self.patience

    def restore(self) -> None:
        """Put the kept weights back; UserError if no epoch ended with a score."""
        if not self.weights:
            raise UserError(DIVERGED)
        self.model.load_state_dict(self.weights)


def fit(
    model: Classifier, train: Films, val: Films, settings, plan: list[Phase], seed: int
) -> Iterator[dict]:
    """Train phase after phase, yielding a row after each epoch; once exhausted, the model holds the
    weights with the best validation AUROC, the last ones, or their average (see `Average`).

    settings: anything with the fields of `parameters.Settings`; epochs and patience count per
    phase, and each phase starts from the weights that stay of the one before.
    In a process group, every process is given the same and computes its share of each batch.
    A row: phase, epoch, lr, train_loss, val_loss, val_auroc, val_balanced_accuracy, and improved;
    the last row with improved = 1 describes the weights that stay.
    """
    group = distributed.group()
    group.synchronise(model)
    model.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    balanced = nn.CrossEntropyLoss(class_weights(train.labels))
    stopping = EarlyStopping(model, settings.patience, settings.min_delta)
    epoch = 0
    for number, phase in enumerate(plan, start=1):
        stopping.waited = 0
        for row in _train_phase(
            model, phase, train, val, settings, balanced, generator, stopping, group
        ):
            epoch += 1
            yield {"phase": number, "epoch": epoch, **row}
        if settings.keep == "best":
            stopping.restore()
        elif not math.isfinite(row["val_loss"]):
            raise UserError(DIVERGED)
    model.requires_grad_(True)


def _train_phase(
    model, phase, train, val, settings, balanced, generator, stopping, group
) -> Iterator[dict]:
    trained = freeze_all_but(model, phase)
    optimiser = torch.optim.AdamW(
        [{"params": part.parameters(), "lr": phase[name]} for name, part in trained.items()],
        weight_decay=settings.weight_decay,
        fused=True,
    )
    per_epoch = len(list(epoch_batches(len(train.labels), settings.batch_size, torch.Generator())))
    scheduler = _scheduler(optimiser, settings, settings.epochs * per_epoch)
    average = Average(trained, settings.epochs * per_epoch) if settings.keep == "average" else None
    # Validation is balanced in any case, or trainings with and without could not be compared.
    weight = balanced.weight if settings.class_weights else torch.ones_like(balanced.weight)
    for epoch in range(settings.epochs):
        rate = scheduler.get_last_lr()[0]
        total = torch.zeros((), device=train.images.device)
        set_mode(model, trained)
        for index in epoch_batches(len(train.labels), settings.batch_size, generator):
            films = network_input(train.images[index], settings, generator, group)
            logits = group.gather(model(films))
            value = smoothed_loss(logits, train.labels[index], weight, settings.label_smoothing)
            optimiser.zero_grad()
            value.backward()
            group.sum_gradients(model)
            optimiser.step()
            scheduler.step()
            if average:
                average.step()
            total += value.detach() * len(index)
        if average and epoch == settings.epochs - 1:
            average.settle(model, train.images, settings, generator, group)
        scores = group.agree(validate(model, val, balanced))
        improved = settings.keep != "best" or stopping.update(
            scores["val_auroc"], scores["val_loss"]
        )
        train_loss = total.item() / (len(train.labels) * passes(len(train.labels)))
        yield {"lr": rate, "train_loss": train_loss, **scores, "improved": int(improved)}
        if stopping.stop:
            return


def network_input(images: Tensor, settings, generator: torch.Generator, group: Group) -> Tensor:
    """A batch (n, H, W) uint8 -> what this process's network is given of it: (own, 1, H, W)."""
    films = augment(standardise(images), settings.augment, generator)
    return films[group.share(len(images))].contiguous(memory_format=torch.channels_last)


class Average:
    """Mean of the weights in the tail of a training (SWA, Izmailov et al. 2018): of those that a
    rate too high to settle leads through, the middle, which lies flatter than any."""

    def __init__(self, trained: dict[str, nn.Module], steps: int) -> None:
        self.trained = trained
        self.weights = [p for part in trained.values() for p in part.parameters()]
        self.mean = [torch.zeros_like(p) for p in self.weights]
        self.left, self.tail, self.n = steps, round(steps * TAIL), 0

    @torch.no_grad()
    def step(self) -> None:
        """Take the present weights in, if it is their turn; always the last ones."""
        self.left -= 1
        if self.left <= self.tail and self.left % EVERY == 0:
            self.n += 1
            for mean, weight in zip(self.mean, self.weights):
                mean.lerp_(weight, 1 / self.n)

    @torch.no_grad()
    def settle(self, model: Classifier, images: Tensor, settings, generator, group: Group) -> None:
        """Put the mean into the model, with batch-norm averages that belong to it."""
        for mean, weight in zip(self.mean, self.weights):
            weight.copy_(mean)
        norms = [m for part in self.trained.values() for m in part.modules()]
        norms = [norm for norm in norms if isinstance(norm, nn.BatchNorm2d)]
        momentum = [norm.momentum for norm in norms]
        set_mode(model, self.trained)
        chosen = torch.randperm(len(images), generator=generator)[:SETTLING]
        n_batches = -(-len(chosen) // batch_size(images, 512))
        for k, index in enumerate(chosen.tensor_split(n_batches), start=1):
            for norm in norms:
                norm.momentum = 1 / k
            model(network_input(images[index], settings, generator, group))
        for norm, usual in zip(norms, momentum):
            norm.momentum = usual


def kept(improved: list[float]) -> int:
    """Index of the epoch whose weights stay: the last with improved = 1."""
    return max(i for i, better in enumerate(improved) if better)


def freeze_all_but(model: Classifier, parts: Phase) -> dict[str, nn.Module]:
    """Let gradients into the named parts only, and return them."""
    model.requires_grad_(False)
    return {name: model.get_submodule(name).requires_grad_(True) for name in parts}


def set_mode(model: Classifier, trained: dict[str, nn.Module]) -> None:
    """What is frozen stays in evaluation mode, or batch norm would go on averaging new films."""
    model.eval()
    model.dropout.train()
    for part in trained.values():
        part.train()


def passes(n: int) -> int:
    """How often an epoch goes through n films: often enough for EPOCH films, so that few labels do
    not mean a validation after every other step, with batch-norm averages still on their way."""
    return -(-EPOCH // n)


def epoch_batches(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(passes(n)):
        yield from batches(n, size, generator)


def batches(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Shuffled indices of one pass, in batches; a last one of a single film, with which batch
    norm cannot work, joins the batch before it."""
    order = torch.randperm(n, generator=generator)
    chunks = list(order.split(size))
    if len(chunks) > 1 and len(chunks[-1]) == 1:
        chunks[-2:] = [torch.cat(chunks[-2:])]
    yield from chunks


def _scheduler(optimiser, settings, steps: int):
    rates = torch.optim.lr_scheduler
    if settings.schedule == "constant":
        return rates.ConstantLR(optimiser, factor=1.0)
    if settings.schedule == "plateau":
        return rates.LambdaLR(optimiser, lambda step: plateau(step / steps))
    highest = [group["lr"] for group in optimiser.param_groups]
    return rates.OneCycleLR(optimiser, highest, total_steps=steps)


def plateau(done: float) -> float:
    """Share of the highest rate after a share of the training: up in a line, down in half a cosine,
    and then level."""
    if done < WARM_UP:
        return 0.04 + 0.96 * done / WARM_UP
    fall = min(1.0, (done - WARM_UP) / (1 - TAIL - WARM_UP))
    return TAIL_RATE + (1 - TAIL_RATE) * (1 + math.cos(math.pi * fall)) / 2


def validate(model: Classifier, val: Films, loss: nn.Module) -> dict[str, float]:
    """Loss, AUROC and balanced accuracy on the validation films; of weights that have diverged the
    AUROC, which NaN scores could have by their order, is NaN."""
    model.eval()
    logits = in_batches(model, val.images)
    labels = val.labels.cpu().numpy()
    positive = (logits[:, 1] - logits[:, 0]).cpu().numpy()
    return {
        "val_loss": loss(logits, val.labels).item(),
        "val_auroc": float(auroc(labels, positive)[0]) if np.isfinite(positive).all() else math.nan,
        "val_balanced_accuracy": float(decisions(labels, positive > 0)["balanced_accuracy"][0]),
    }
