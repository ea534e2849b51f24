"""Early stopping: which epoch's weights are kept, and when training ends."""

import pytest
from torch import nn

from chestflow.training.early_stopping import EarlyStopping


@pytest.mark.parametrize(
    ("scores", "patience", "min_delta", "epochs", "kept"),
    [
        ([0.5, 0.6, 0.6, 0.55, 0.9], 2, 0.0, 4, 0.6),
        ([0.5, 0.6, 0.6, 0.55, 0.9], 3, 0.0, 5, 0.9),
        ([0.5, 0.505, 0.504, 0.503], 2, 0.01, 3, 0.5),  # gains up to min_delta do not count
        ([0.500, 0.506, 0.512, 0.518, 0.524], 2, 0.01, 5, 0.524),  # but add up
    ],
)
def test_patience_counts_epochs_without_a_better_score(scores, patience, min_delta, epochs, kept):
    model = nn.Linear(1, 1)
    stopping = EarlyStopping(model, patience, min_delta)
    ran = 0
    while not stopping.stop and ran < len(scores):
        nn.init.constant_(model.weight, scores[ran])
        stopping.update(scores[ran])
        ran += 1
    stopping.restore()
    assert (ran, model.weight.item()) == (epochs, pytest.approx(kept))


def test_the_lower_loss_decides_between_equal_scores():
    stopping = EarlyStopping(nn.Linear(1, 1), patience=5, min_delta=0.01)
    epochs = [(0.9, 0.5), (0.9, 0.4), (0.9, 0.45), (0.895, 0.3), (0.886, 0.2), (0.92, 0.9)]
    improved = [stopping.update(*epoch) for epoch in epochs]
    assert improved == [True, True, False, True, False, True]
