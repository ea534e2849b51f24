"""Which weights of a training are kept: the best on validation, or the average of its tail."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from chestflow.core.errors import UserError
from chestflow.network.model import Classifier
from chestflow.training.strategies import set_mode

DIVERGED = "training diverged: the weights have no score; try a lower lr"
TAIL = 0.35  # share of a training, at its end, over which weights are averaged
EVERY = 6  # steps between two weights in that average: neighbours are nearly the same


class EarlyStopping:
    """Keeps the best weights and says when to stop.

    A score is better if it exceeds the highest by more than `min_delta`, or if it lies within
    `min_delta` of the highest and comes with a lower loss: near saturation, so small a difference
    is chance, and the loss is the better guide. After `patience` epochs without improvement, `stop`
    is true.
    """

    def __init__(self, model: nn.Module, patience: int, min_delta: float) -> None:
        self.model, self.patience, self.min_delta = model, patience, min_delta
        self.highest, self.loss, self.waited = -np.inf, np.inf, 0
        self.weights: dict[str, Tensor] = {}

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


class Average:
    """Mean of the weights over the tail of a training (SWA, Izmailov et al. 2018). A rate too high
    to settle leads past many good weights; their mean lies in a flatter place than any of them."""

    def __init__(self, model: Classifier, trained: dict[str, nn.Module], steps: int) -> None:
        self.mean, self.trained = AveragedModel(model), trained
        self.left, self.tail = steps, round(steps * TAIL)

    def step(self, model: Classifier) -> None:
        """Include the present weights if it is their turn; the last ones always are."""
        self.left -= 1
        if self.left <= self.tail and self.left % EVERY == 0:
            self.mean.update_parameters(model)

    @torch.no_grad()
    def settle(self, model: Classifier, inputs: Iterable[Tensor]) -> None:
        """Put the mean into the model, and average batch norm's statistics anew over some inputs.
        Only in the trained parts: `torch.optim.swa_utils.update_bn` would do it in all."""
        for weight, mean in zip(model.parameters(), self.mean.module.parameters()):
            weight.copy_(mean)
        modules = [m for part in self.trained.values() for m in part.modules()]
        norms = [module for module in modules if isinstance(module, nn.BatchNorm2d)]
        momentum = [norm.momentum for norm in norms]
        set_mode(model, self.trained)
        for k, batch in enumerate(inputs, start=1):
            for norm in norms:
                norm.momentum = 1 / k  # a plain mean over the batches
            model(batch)
        for norm, usual in zip(norms, momentum):
            norm.momentum = usual
