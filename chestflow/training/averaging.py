"""Averaging the weights of the last part of a training (SWA, Izmailov et al. 2018)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from chestflow.models.cnn import Classifier
from chestflow.training.freezing import set_mode

TAIL = 0.35  # share of a training, at its end, over which weights are averaged
EVERY = 6  # steps between two weights in that average: neighbours are nearly the same


class WeightAverage:
    """Averages the weights over the last 35 % of the steps (SWA). At a rate that stays high, the
    weights wander around a flat minimum, and their mean lies nearer to it than any of them."""

    def __init__(self, model: Classifier, trained: dict[str, nn.Module], steps: int) -> None:
        self.mean, self.trained = AveragedModel(model), trained
        self.left, self.tail = steps, round(steps * TAIL)

    def update(self, model: Classifier) -> None:
        """Call after each step: includes every sixth of the last steps, and the very last."""
        self.left -= 1
        if self.left <= self.tail and self.left % EVERY == 0:
            self.mean.update_parameters(model)

    @torch.no_grad()
    def copy_to(self, model: Classifier, inputs: Iterable[Tensor]) -> None:
        """Put the mean into the model, and compute batch norm's statistics anew over some inputs.
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
        for norm, before in zip(norms, momentum):
            norm.momentum = before
