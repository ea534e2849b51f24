"""Loss and validation scores over the epochs of a run's trainings."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from chestflow.data.captions import About
from chestflow.formatting import counted
from chestflow.history import Columns, by_training, kept, kept_epoch, representative
from chestflow.plots.style import CLASS_COLOURS, GREY

LOSSES = {"train_loss": ("training", "black", "-"), "val_loss": ("validation", GREY, "--")}
GUESS = 0.5  # AUROC and balanced accuracy of guessing; its loss, by this probability, is ln 2
SCORES = {
    "val_auroc": ("AUROC", "black", "-"),
    "val_balanced_accuracy": ("balanced accuracy", GREY, "--"),
}


def history(epochs: Columns, about: About, run: str) -> Figure:
    """Loss and validation score over the epochs: all trainings, that with the median validation
    loss in bold, with the epoch whose weights were kept."""
    found = by_training(epochs)
    shown = representative(kept(epochs, "val_loss"))
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, lines in ((left, LOSSES), (right, SCORES)):
        for name, (label, colour, dashes) in lines.items():
            for k, one in enumerate(found):
                bold = {"lw": 2, "label": label} if k == shown else {"lw": 1, "alpha": 0.4}
                axes.plot(one["epoch"], one[name], ".", ms=4, color=colour, ls=dashes, **bold)
        _mark(axes, found[shown])
    left.axhline(-np.log(GUESS), color=GREY, lw=1, ls=":", label="guessing: ln 2")
    left.set(ylabel="weighted cross-entropy", ylim=(0, None))
    right.axhline(GUESS, color=GREY, lw=1, ls=":", label="guessing: 0.5")
    lowest = min(GUESS, *epochs["val_auroc"], *epochs["val_balanced_accuracy"])
    right.set(ylabel="validation score", ylim=(lowest - 0.03, 1.03))
    one = found[shown]
    chosen = kept_epoch(one["improved"])
    epoch, score = one["epoch"][chosen], one["val_auroc"][chosen]
    mark = f"kept: epoch {epoch:.0f}, AUROC {score:.3f}"
    right.plot(epoch, score, "o", color=CLASS_COLOURS[1], label=mark)
    for axes in (left, right):
        axes.set_xlim(0.5, max(epochs["epoch"]) + 0.5)
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}
        axes.legend(frameon=False, fontsize=9, ncols=2, **below)
    which = f"; bold: training {shown + 1}" if len(found) > 1 else ""
    figure.suptitle(f"{counted(len(found)).capitalize()} of {run} on {about.caption}{which}")
    return figure


def _mark(axes, one: Columns) -> None:
    """The epoch that was kept, and where a strategy unfreezes further layers."""
    axes.set(xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.axvline(one["epoch"][kept_epoch(one["improved"])], color=CLASS_COLOURS[1], lw=1)
    for k, start in enumerate(np.flatnonzero(np.diff(one["phase"])) + 1):
        label = None if k else "further layers unfrozen"
        axes.axvline(one["epoch"][start] - 0.5, color=GREY, lw=1, ls="-.", label=label)
