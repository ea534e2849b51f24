"""How far images from elsewhere lie from the training images."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.plots.style import CLASS_COLOURS, GREY


def out_of_distribution(distances: np.ndarray, reference: np.ndarray, limit: float) -> Figure:
    """Distances from the training images, as histograms.

    distances: (N,) of the images from elsewhere; reference: (V,) of the validation images; both
    squared and above 0. limit: percentile of the reference beyond which an image is flagged.
    """
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    both = np.concatenate([distances, reference])
    edges = np.geomspace(both.min() * 0.99, both.max() * 1.01, 41).tolist()
    blue, orange = CLASS_COLOURS
    label = f"these images, n = {len(distances):,}"
    axes.hist(distances, edges, weights=_shares(distances), color=orange, alpha=0.5, label=label)
    label = f"validation images, n = {len(reference):,}"
    axes.hist(
        reference,
        edges,
        weights=_shares(reference),
        color=blue,
        histtype="step",
        lw=2,
        label=label,
    )
    beyond = np.percentile(reference, limit)
    axes.axvline(beyond, color=GREY, ls=":", label="beyond: out of distribution")
    axes.set(xscale="log", ylabel="images (%)")
    axes.set_xlabel("squared Mahalanobis distance from the training images")
    axes.xaxis.set_major_formatter("{x:g}")  # the usual one writes powers as formulas
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="x", which="minor", labelsize=8)
    axes.margins(y=0.05)
    figure.legend(frameon=False, fontsize=10, loc="outside upper center", ncols=3)
    return figure


def _shares(values: np.ndarray) -> np.ndarray:
    """Weights with which a histogram counts percent."""
    return np.full(len(values), 100 / len(values))
