"""Scores of many weighted copies of one test set at once, for bootstrap intervals.

A bootstrap resample is a vector of counts, how often each image was drawn, so that thousands of
resamples are one matrix and every score one matrix product (Efron & Tibshirani 1993, ch. 6).
"""

import numpy as np

CHUNK = 2**22  # weights handled at once


def counts(n: int, resamples: int, seed: int) -> np.ndarray:
    """(resamples, n) float32: how often each of n images is drawn with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float32)


def auroc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Area under the ROC curve = P(score of a positive > of a negative), ties counting half.

    labels: (N,) of 0 and 1; scores: (N,); weights: (B, N), by default one row of ones.
    Returns (B,); NaN where a class has no weight (Hanley & McNeil 1982).
    """

    def area(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
        below = np.cumsum(negative, axis=1) - negative
        pairs = (positive * (below + negative / 2)).sum(axis=1)
        return _ratio(pairs, positive.sum(axis=1) * negative.sum(axis=1))

    return _over_scores(area, labels, scores, weights)


def auprc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Average precision, sum of precision times the step in recall; arguments as for `auroc`."""

    def precision_by_recall(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
        found, flagged = np.cumsum(positive, axis=1), np.cumsum(positive + negative, axis=1)
        precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
        return _ratio((precision * positive).sum(axis=1), positive.sum(axis=1))

    return _over_scores(precision_by_recall, labels, -scores, weights)


def decisions(
    labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Scores of yes-or-no predictions, (N,) of 0 and 1, each (B,); NaN where not defined."""
    weights = np.ones((1, len(labels))) if weights is None else weights
    cells = [(labels == actual) & (predicted == said) for actual in (0, 1) for said in (0, 1)]
    tn, fp, fn, tp = (weights @ np.stack(cells, axis=1).astype(weights.dtype)).T.astype(np.float64)
    recall, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    return {
        "accuracy": _ratio(tp + tn, tp + tn + fp + fn),
        "precision": _ratio(tp, tp + fp),
        "recall": recall,
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "specificity": specificity,
        "balanced_accuracy": (recall + specificity) / 2,
        "mcc": _ratio(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
    }


def interval(values: np.ndarray) -> list[float]:
    """The 95 % percentile interval of bootstrap values, those that are not defined left out."""
    defined = values[~np.isnan(values)]
    return np.percentile(defined, [2.5, 97.5]).tolist() if len(defined) else [np.nan, np.nan]


def _over_scores(summarise, labels, scores, weights) -> np.ndarray:
    """Call `summarise` with the weight of the positives and of the negatives at each distinct
    score, ascending, (B, K) each; with so many resamples at once as fit into a little memory."""
    weights = np.ones((1, len(labels))) if weights is None else weights
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    of_class = [labels[order] == c for c in (1, 0)]
    chunks = np.array_split(weights, 1 + weights.size // CHUNK)
    return np.concatenate(
        [
            summarise(*(np.add.reduceat(chunk * c, starts, axis=1, dtype=float) for c in of_class))
            for chunk in (chunk[:, order] for chunk in chunks)
        ]
    )


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full_like(a, np.nan), where=b > 0)
