"""Binary labels, and the labelled subset."""

import re
from itertools import pairwise

import numpy as np
import pytest

from chestflow.data.labels import binary_labels, sample
from chestflow.errors import UserError


def labels(n: int, positive: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.arange(n) < positive).astype(np.uint8)


GRADES = np.array([[0], [1], [2], [3]], np.uint8)
FINDINGS = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]], np.uint8)


@pytest.mark.parametrize(
    ("given", "diseased", "expected"),
    [
        (FINDINGS, None, [0, 1, 1, 1]),
        (FINDINGS, [0, 1], [0, 1, 1, 0]),  # as some of ChestMNIST's columns
        (GRADES, None, [0, 1, 1, 1]),
        (GRADES, [0, 1, 2], [1, 1, 1, 0]),  # as OCTMNIST, where 3 is normal
        (GRADES[:2], [0], [1, 0]),  # as BreastMNIST, where 0 is malignant
    ],
)
def test_an_image_is_diseased_if_any_label_that_counts_is_set(given, diseased, expected):
    binary = binary_labels(given, diseased)
    assert binary.tolist() == expected and binary.dtype == np.uint8


@pytest.mark.parametrize("positive", [74, 50, 9])
def test_a_sample_is_stratified_and_part_of_every_larger_one(positive):
    y = labels(100, positive)
    samples = [sample(y, n, seed=0, key="k") for n in range(12, 101)]
    for n, index in enumerate(samples, start=12):
        assert len(index) == n and np.all(np.diff(index) > 0)
        assert abs(y[index].sum() - n * positive / 100) <= 0.5
    assert all(set(small) < set(large) for small, large in pairwise(samples))
    assert samples[-1].tolist() == sample(y, "all", seed=0, key="k").tolist() == list(range(100))
    assert not np.array_equal(sample(y, 50, seed=1, key="k"), sample(y, 50, seed=0, key="k"))


@pytest.mark.parametrize(("size", "positive"), [(100, 74), (100, 3), (57, 50), (2, 1)])
@pytest.mark.parametrize("few", [True, False])
def test_refused_numbers_are_answered_with_the_accepted_range(size, positive, few):
    """Both ends of the range in the message are indeed accepted."""
    y, n = labels(size, positive), 1 if few else size + 1
    with pytest.raises(UserError, match=rf"^runs.a.labels = {n}; accepted: .*, or all$") as error:
        sample(y, n, seed=0, key="runs.a.labels")
    for accepted in map(int, re.search(r"accepted: (\d+) to (\d+)", str(error.value)).groups()):
        chosen = y[sample(y, accepted, seed=0, key="k")]
        assert len(chosen) == accepted and 0 < chosen.sum() < accepted
