"""The history of a run: which rows are one training's, which epoch is kept, which network shown."""

import numpy as np
import pytest

from chestflow import files, history

# Three trainings of unequal length, of which the second ends with its best epoch.
ROWS = [
    (0, 1, 0.7, 1),
    (0, 2, 0.9, 1),
    (0, 3, 0.8, 0),
    (1, 1, 0.6, 1),
    (1, 2, 0.65, 1),
    (2, 1, 0.5, 1),
    (2, 2, 0.4, 0),
    (2, 3, 0.45, 0),
    (2, 4, 0.55, 1),
    (2, 5, 0.5, 0),
]
NAMES = ("training", "epoch", "val_auroc", "improved")


@pytest.fixture
def columns(tmp_path) -> dict[str, list]:
    files.write_csv(tmp_path / "history.csv", [dict(zip(NAMES, row)) for row in ROWS])
    return files.read_csv(tmp_path / "history.csv")


def test_every_row_belongs_to_its_training(columns):
    found = history.by_training(columns)
    assert [one["epoch"] for one in found] == [[1, 2, 3], [1, 2], [1, 2, 3, 4, 5]]
    assert all(set(one) == set(NAMES) for one in found)
    assert [one["training"] for one in found] == [[0] * 3, [1] * 2, [2] * 5]


def test_trainings_come_in_their_order_even_from_ten_on():
    """As text, 10 would come before 2."""
    many = {"training": [float(k) for k in range(12)], "epoch": list(range(12))}
    assert [one["epoch"] for one in history.by_training(many)] == [[k] for k in range(12)]


def test_the_epoch_kept_is_the_last_that_improved_in_each_training(columns):
    assert history.kept(columns, "epoch") == [2, 2, 4]
    assert history.kept(columns, "val_auroc") == [0.9, 0.65, 0.55]
    assert history.kept_epoch([1, 1, 0, 1, 0, 0]) == 3
    assert history.kept_epoch([1.0]) == 0


@pytest.mark.parametrize(
    ("losses", "shown"),
    [
        ([0.3], 0),
        ([0.3, 0.1, 0.2], 2),
        ([0.1, 0.2, 0.3], 1),
        ([0.2, 0.1], 1),  # of an even number the lower of the two in the middle
        ([0.4, 0.1, 0.3, 0.2], 3),
        ([0.2, 0.2, 0.2], 1),
        ([0.5, 0.2, 0.2, 0.1], 1),
    ],
)
def test_the_training_shown_is_neither_the_best_nor_the_worst(losses, shown):
    assert history.representative(losses) == shown


@pytest.mark.parametrize("n", range(1, 8))
def test_the_training_shown_has_the_median_value(n):
    losses = np.random.default_rng(n).permutation(n).tolist()
    assert losses[history.representative(losses)] == (n - 1) // 2
