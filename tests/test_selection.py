"""Which configuration is called best."""

from chestflow.metrics import selection


def entry(name: str, val_auroc: float, val_loss: float, auroc: float = 0.5) -> dict:
    return {"name": name, "val_auroc": val_auroc, "val_loss": val_loss, "auroc": auroc}


def order(*scored: dict, min_delta: float = 0.002) -> list[str]:
    return [entry["name"] for entry in selection.best_first(list(scored), min_delta)]


def test_the_loss_decides_between_equal_validation_scores():
    assert order(
        entry("highest", 0.9970, 0.12), entry("calm", 0.9955, 0.07), entry("behind", 0.9940, 0.01)
    ) == ["calm", "highest", "behind"]


def test_without_a_tolerance_the_score_alone_decides():
    scored = entry("a", 0.9970, 0.12), entry("b", 0.9969, 0.01), entry("c", 0.9, 0.0)
    assert order(*scored, min_delta=0.0) == ["a", "b", "c"]


def test_the_test_score_is_ignored():
    assert order(entry("a", 0.9, 0.3, auroc=0.1), entry("b", 0.8, 0.1, auroc=1.0)) == ["a", "b"]
