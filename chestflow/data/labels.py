"""Binary labels, and drawing a labelled subset."""

import numpy as np

from chestflow.errors import UserError


def binary_labels(labels: np.ndarray, diseased: list[int] | None = None) -> np.ndarray:
    """(N, findings) -> (N,) uint8: 1 where an image is diseased.

    diseased: of one column, the labels that count; of several, the columns; None: any but 0.
    """
    if diseased is None:
        positive = labels > 0
    elif labels.shape[1] == 1:
        positive = np.isin(labels, diseased)
    else:
        positive = labels[:, diseased] > 0
    return np.asarray(positive.any(axis=1), np.uint8)


def sample(labels: np.ndarray, n: int | str, seed: int, key: str) -> np.ndarray:
    """Indices of n images, stratified by class, drawn by seed and in ascending order.

    labels: (N,) of 0 and 1; n: how many, or "all"; key: the parameter's name, for the messages.
    A smaller draw of the same seed is part of a larger one, so that curves over n are nested.
    Raises UserError where there are fewer images than asked for or a class would be left empty.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise UserError(f"{key}: all {len(labels)} images are of one class; two are needed")
    if isinstance(n, str):  # all
        return np.arange(len(labels))
    accepted = f"accepted: {len(labels) // (2 * counts.min()) + 1} to {len(labels)}, or all"
    if n > len(labels):
        raise UserError(f"{key} = {n} is more than there are; {accepted}")
    positives = round(n * counts[1] / len(labels))
    if positives == 0 or positives == n:
        share = counts.min() / len(labels)
        raise UserError(f"{key} = {n} leaves a class empty (its share is {share:.3f}); {accepted}")
    order = np.random.default_rng(seed).permutation(len(labels))
    drawn = [order[labels[order] == c][:k] for c, k in ((0, n - positives), (1, positives))]
    return np.sort(np.concatenate(drawn))
