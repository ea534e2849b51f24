"""The history of a training: one row per epoch, as `training.loop.fit` yields them."""


def kept_epoch(improved: list[float]) -> int:
    """Index of the epoch whose weights were kept: the last with improved = 1."""
    return max(i for i, better in enumerate(improved) if better)
