"""The loss beside torch's, and the batches."""

from itertools import islice

import pytest
import torch
from torch.nn import functional as F

from chestflow.training import batches, losses


def test_both_classes_have_the_same_total_weight():
    labels = torch.tensor([1, 1, 1, 0, 1, 1, 0, 1])
    weights = losses.class_weights(labels)
    assert weights.tolist() == pytest.approx([8 / 4, 8 / 12])
    assert weights[labels].sum().item() == pytest.approx(len(labels))


def test_the_loss_equals_torchs_except_for_the_weight_of_the_smoothed_share():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 2, generator=generator)
    labels = torch.randint(0, 2, (50,), generator=generator)
    even, uneven = torch.ones(2), torch.tensor([1.9, 0.7])
    for weight, smoothing in ((uneven, 0.0), (even, 0.1)):
        expected = F.cross_entropy(logits, labels, weight, label_smoothing=smoothing).item()
        loss = losses.smoothed_loss(logits, labels, weight, smoothing).item()
        assert loss == pytest.approx(expected, rel=1e-6)
    # Uneven weights: as if each image were repeated as often as its class weighs.
    times = torch.tensor([19, 7])[labels]
    repeated = logits.repeat_interleave(times, dim=0), labels.repeat_interleave(times)
    expected = F.cross_entropy(*repeated, label_smoothing=0.1).item()
    loss = losses.smoothed_loss(logits, labels, uneven, 0.1).item()
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("n", "size"), [(300, 64), (50, 50), (2, 2)])
def test_batches_are_of_one_size_and_show_all_images_in_new_orders(n, size):
    """No batch has more images than there are, or a single one, with which batch norm fails."""
    drawn = list(islice(batches.batches(n, 64, torch.Generator().manual_seed(0)), 200))
    assert {len(index) for index in drawn} == {size}
    assert all(len(index.unique()) == size for index in drawn)
    assert set(torch.cat(drawn).tolist()) == set(range(n))
    assert n == 2 or not torch.equal(drawn[0], drawn[n // size])
