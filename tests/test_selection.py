"""Which configuration of a sweep is called best."""

import pytest

from chestflow.metrics import selection

SCORED = {  # val_auroc, val_loss, and the score on test, which must not count
    "highest": (0.9970, 0.12, 0.1),
    "calm": (0.9955, 0.07, 0.5),
    "behind": (0.9940, 0.01, 1.0),
}


@pytest.mark.parametrize(
    ("min_delta", "order"),
    [(0.002, ["calm", "highest", "behind"]), (0.0, ["highest", "calm", "behind"])],
)
def test_the_lower_loss_decides_between_equal_validation_scores(min_delta, order):
    keys = ("val_auroc", "val_loss", "auroc")
    entries = [{"name": name, **dict(zip(keys, values))} for name, values in SCORED.items()]
    assert [entry["name"] for entry in selection.best_first(entries, min_delta)] == order
