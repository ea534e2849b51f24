"""How far images from elsewhere lie from the training images."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from chestflow.plots.style import CLASS_COLOURS, GREY


def out_of_distribution(distances: np.ndarray, reference: np.ndarray, limit: float) -> Figure:
    """Distances from the training images, as histograms.

    distances: (N,) of the user's images; reference: (V,) of the validation images; both squared
    and above 0. limit: percentile of the reference beyond which an image is flagged.
    """
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    both = np.concatenate([distances, reference])
    edges = np.geomspace(both.min() * 0.99, both.max() * 1.01, 41).tolist()
    blue, orange = CLASS_COLOURS
    series: list[tuple[np.ndarray, str, dict[str, Any]]] = [
        (distances, "these images", {"color": orange, "alpha": 0.5}),
        (reference, "validation images", {"color": blue, "histtype": "step", "lw": 2}),
    ]
    for values, name, style in series:
        shares = np.full(len(values), 100 / len(values))
        axes.hist(values, edges, weights=shares, label=f"{name}, n = {len(values):,}", **style)
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
