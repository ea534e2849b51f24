"""The history of a run: which rows are one training's, which epoch is kept, which network shown."""

import pytest

from chestflow import history

# Of unequal length; the second ends with its best epoch. As text, training 10 would come before 2.
COLUMNS = {
    "training": [0, 0, 0, 2, 2, 10, 10, 10, 10, 10],
    "epoch": [1, 2, 3, 1, 2, 1, 2, 3, 4, 5],
    "val_auroc": [0.7, 0.9, 0.8, 0.6, 0.65, 0.5, 0.4, 0.45, 0.55, 0.5],
    "improved": [1, 1, 0, 1, 1, 1, 0, 0, 1, 0],
}


def test_every_row_belongs_to_its_training():
    trainings = history.by_training(COLUMNS)
    assert [one["epoch"] for one in trainings] == [[1, 2, 3], [1, 2], [1, 2, 3, 4, 5]]
    assert all(one.keys() == COLUMNS.keys() for one in trainings)


def test_the_epoch_kept_is_the_last_that_improved_in_each_training():
    assert history.kept(COLUMNS, "epoch") == [2, 2, 4]
    assert history.kept(COLUMNS, "val_auroc") == [0.9, 0.65, 0.55]


@pytest.mark.parametrize(
    ("losses", "representative"),
    [
        ([0.3], 0),
        ([0.3, 0.1, 0.2], 2),
        ([0.2, 0.1], 1),  # of an even number the lower of the two in the middle
        ([0.4, 0.1, 0.3, 0.2], 3),
        ([0.2, 0.2, 0.2], 1),
    ],
)
def test_the_representative_training_has_the_median_value(losses, representative):
    assert history.representative(losses) == representative
