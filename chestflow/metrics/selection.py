"""Which of several trained configurations is best?"""


def best_first(scored: list[dict], min_delta: float) -> list[dict]:
    """Order by validation scores: those within `min_delta` of the highest `val_auroc` count as
    equal and are ordered by `val_loss`, as in early stopping; the others follow by `val_auroc`."""
    highest = max(entry["val_auroc"] for entry in scored)

    def rank(entry: dict) -> tuple[bool, float]:
        behind = entry["val_auroc"] < highest - min_delta
        return behind, -entry["val_auroc"] if behind else entry["val_loss"]

    return sorted(scored, key=rank)
