"""Early stopping: which epoch's weights are kept, and when training ends."""

import numpy as np
from torch import Tensor, nn

from chestflow.errors import UserError

DIVERGED = "training diverged: the weights have no score; try a lower lr"


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
        """Put the kept weights back. Raises UserError if the score was NaN in every epoch."""
        if not self.weights:
            raise UserError(DIVERGED)
        self.model.load_state_dict(self.weights)
