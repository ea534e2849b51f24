"""Loss and validation scores over the epochs of a run's trainings."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from chestflow.core.history import Columns, by_training, kept, kept_epoch, median_training
from chestflow.figures.style import CLASS_COLOURS, GREY
from chestflow.images.captions import About
from chestflow.wording import counted

LOSSES = {"train_loss": ("training", "black", "-"), "val_loss": ("validation", GREY, "--")}
SCORES = {
    "val_auroc": ("AUROC", "black", "-"),
    "val_balanced_accuracy": ("balanced accuracy", GREY, "--"),
}


def history(epochs: Columns, about: About, run: str) -> Figure:
    """Loss and validation score over the epochs: all trainings, that with the median validation
    loss in bold, with the epoch whose weights were kept."""
    found = by_training(epochs)
    shown = median_training(kept(epochs, "val_loss"))
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, lines in ((left, LOSSES), (right, SCORES)):
        for name, (label, colour, dashes) in lines.items():
            for k, one in enumerate(found):
                bold = {"lw": 2, "label": label} if k == shown else {"lw": 1, "alpha": 0.4}
                axes.plot(one["epoch"], one[name], color=colour, ls=dashes, **bold)
        _mark(axes, found[shown])
    left.set(ylabel="weighted cross-entropy", ylim=(0, None))
    right.set(ylabel="validation score")
    one = found[shown]
    chosen = kept_epoch(one["improved"])
    epoch, score = one["epoch"][chosen], one["val_auroc"][chosen]
    mark = f"kept: epoch {epoch:.0f}, AUROC {score:.3f}"
    right.plot(epoch, score, "o", color=CLASS_COLOURS[1], label=mark)
    for axes in (left, right):
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}
        axes.legend(frameon=False, fontsize=9, ncols=2, **below)
    which = f"; bold: training {shown + 1}" if len(found) > 1 else ""
    figure.suptitle(f"{counted(len(found)).capitalize()} of {run} on {about.caption}{which}")
    return figure


def _mark(axes, one: Columns) -> None:
    """The epoch that was kept, and where the next phase of a strategy begins."""
    axes.set(xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.axvline(one["epoch"][kept_epoch(one["improved"])], color=CLASS_COLOURS[1], lw=1)
    for start in np.flatnonzero(np.diff(one["phase"])) + 1:
        label = "next phase" if start == np.flatnonzero(np.diff(one["phase"]))[0] + 1 else None
        axes.axvline(one["epoch"][start] - 0.5, color=GREY, lw=1, ls=":", label=label)
