"""Binary labels, and drawing a labelled subset."""

import numpy as np

from chestflow.errors import UserError


def binary_labels(labels: np.ndarray, diseased: list[int] | None = None) -> np.ndarray:
    """(N, findings) -> (N,) uint8: 1 where an image is diseased.

    diseased: of one column, the labels that count; of several, the columns; None: any but 0.
    """
    if diseased is None:
        positive = labels != 0
    elif labels.shape[1] == 1:
        positive = np.isin(labels, diseased)
    else:
        positive = labels[:, diseased] != 0
    return np.asarray(positive.any(axis=1), np.uint8)


def sample(labels: np.ndarray, n: int | str, seed: int, key: str) -> np.ndarray:
    """Indices of n images, stratified by class, drawn by seed and in ascending order.

    labels: (N,) of 0 and 1; n: how many, or "all"; key: the parameter's name, for the message.
    A smaller draw of the same seed is part of a larger one, so that curves over n are nested.
    Raises UserError where there are fewer images than asked for or a class would be left empty.
    """
    if isinstance(n, str):  # all
        return np.arange(len(labels))
    total, counts = len(labels), np.bincount(labels)
    positives = round(n * counts[1] / total)
    if n > total or positives in (0, n):
        fewest = total // (2 * counts.min()) + 1
        raise UserError(
            f"{key} = {n}; accepted: {fewest} to {total}, so that neither class is empty, or all"
        )
    order = np.random.default_rng(seed).permutation(total)
    drawn = [order[labels[order] == c][:k] for c, k in ((0, n - positives), (1, positives))]
    return np.sort(np.concatenate(drawn))
