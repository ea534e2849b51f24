"""Loss and validation scores over the epochs of a training."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.core.history import kept_epoch
from chestflow.figures.style import CLASS_COLOURS, GREY
from chestflow.images.captions import About


def history(epochs: dict[str, list[float]], about: About, run: str) -> Figure:
    """Loss and validation score over the epochs, with the epoch whose weights were kept."""
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    chosen = kept_epoch(epochs["improved"])
    left.plot(epochs["epoch"], epochs["train_loss"], color="black", label="training")
    left.plot(epochs["epoch"], epochs["val_loss"], color=GREY, ls="--", label="validation")
    left.set(ylabel="weighted cross-entropy", ylim=(0, None))
    right.plot(epochs["epoch"], epochs["val_auroc"], color="black", label="AUROC")
    right.plot(
        epochs["epoch"], epochs["val_balanced_accuracy"], color=GREY, ls="--", label="bal. accuracy"
    )
    right.set(ylabel="validation score")
    starts = np.flatnonzero(np.diff(epochs["phase"])) + 1
    for axes in (left, right):
        axes.set(xlabel="epoch")
        axes.axvline(epochs["epoch"][chosen], color=CLASS_COLOURS[1], lw=1)
        for start in starts:
            axes.axvline(epochs["epoch"][start] - 0.5, color=GREY, lw=1, ls=":")
    right.plot(
        epochs["epoch"][chosen],
        epochs["val_auroc"][chosen],
        "o",
        color=CLASS_COLOURS[1],
        label=f"kept: epoch {epochs['epoch'][chosen]:.0f}, {epochs['val_auroc'][chosen]:.4f}",
    )
    for axes in (left, right):
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}
        axes.legend(frameon=False, fontsize=9, ncols=3, **below)
    figure.suptitle(f"Training of {run} on {about.caption}")
    return figure
