"""Loss and validation scores over the epochs of a run's trainings."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from chestflow.data.captions import About
from chestflow.formatting import counted
from chestflow.history import Columns, by_training, kept, kept_epoch, representative
from chestflow.plots.style import CLASS_COLOURS, GREY

LOSSES = {"train_loss": ("training", "black", "-"), "val_loss": ("validation", GREY, "--")}
SCORES = {
    "val_auroc": ("AUROC", "black", "-"),
    "val_balanced_accuracy": ("balanced accuracy", GREY, "--"),
}


def history(epochs: Columns, about: About, run: str) -> Figure:
    """Loss and validation scores by epoch: all trainings, the representative one in bold, with the
    epoch whose weights were kept. epochs: the columns of history.csv."""
    trainings, k = by_training(epochs), representative(kept(epochs, "val_loss"))
    bold = trainings[k]
    chosen = kept_epoch(bold["improved"])
    epoch, auroc = bold["epoch"][chosen], bold["val_auroc"][chosen]
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, lines in ((left, LOSSES), (right, SCORES)):
        _plot_lines(axes, trainings, lines, k)
        axes.axvline(epoch, color=CLASS_COLOURS[1], lw=1)
        for start in np.flatnonzero(np.diff(bold["phase"])) + 1:
            x = bold["epoch"][start] - 0.5
            axes.axvline(x, color=GREY, lw=1, ls="-.", label="encoder unfrozen")
    left.axhline(math.log(2), color=GREY, lw=1, ls=":", label="guessing: ln 2")
    left.set(ylabel="weighted cross-entropy", ylim=(0, None))
    right.axhline(0.5, color=GREY, lw=1, ls=":", label="guessing: 0.5")
    lowest = min(0.5, *epochs["val_auroc"], *epochs["val_balanced_accuracy"])
    right.set(ylabel="validation score", ylim=(lowest - 0.03, 1.03))
    fitted = not any(epochs["lr"])  # a linear probe: at once, without epochs
    mark = f"AUROC {auroc:.3f}" if fitted else f"kept: epoch {epoch:.0f}, AUROC {auroc:.3f}"
    right.plot(epoch, auroc, "o", color=CLASS_COLOURS[1], label=mark)
    for axes in (left, right):
        axes.set(xlabel="epoch", xlim=(0.5, max(epochs["epoch"]) + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if fitted:
            axes.set(xlabel="linear probe, fitted at once: no epochs", xticks=())
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}
        axes.legend(frameon=False, fontsize=9, ncols=2, **below)
    which = f"; bold: training {k + 1}" if len(trainings) > 1 else ""
    figure.suptitle(f"{counted(len(trainings)).capitalize()} of {run} on {about.caption}{which}")
    return figure


def _plot_lines(axes, trainings: list[Columns], lines: dict[str, tuple], bold: int) -> None:
    for name, (label, colour, dashes) in lines.items():
        for k, one in enumerate(trainings):
            weight = {"lw": 2, "label": label} if k == bold else {"lw": 1, "alpha": 0.4}
            axes.plot(one["epoch"], one[name], ".", ms=4, color=colour, ls=dashes, **weight)
