"""Loss and validation scores over the epochs of a run's trainings."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from chestflow.data.captions import About
from chestflow.formatting import counted
from chestflow.history import Columns, by_training, kept, kept_epoch, representative
from chestflow.plots.style import CLASS_COLOURS, GREY

# Columns of history.csv: name, colour and line.
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
    epoch, auroc = (bold[name][chosen] for name in ("epoch", "val_auroc"))
    is_fitted = not any(epochs["lr"])  # a linear probe: at once, without epochs
    mark = f"AUROC {auroc:.3f}" if is_fitted else f"kept: epoch {epoch:.0f}, AUROC {auroc:.3f}"
    figure = Figure(figsize=(10, 4.8))
    left, right = figure.subplots(1, 2)
    _plot_lines(left, trainings, LOSSES, k)
    _plot_lines(right, trainings, SCORES, k)
    left.axhline(math.log(2), color=GREY, lw=1, ls=":", label="guessing: ln 2")
    left.set_ylabel("weighted cross-entropy")
    right.axhline(0.5, color=GREY, lw=1, ls=":", label="guessing: 0.5")
    right.set_ylabel("validation score")
    right.plot(epoch, auroc, "o", color=CLASS_COLOURS[1], label=mark)
    for axes in (left, right):
        axes.axvline(epoch, color=CLASS_COLOURS[1], lw=1)
        for start in np.flatnonzero(np.diff(bold["phase"])) + 1:
            x = bold["epoch"][start] - 0.5
            axes.axvline(x, color=GREY, lw=1, ls="-.", label="encoder unfrozen")
        axes.set(xlabel="epoch", xlim=(0.5, max(epochs["epoch"]) + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if is_fitted:
            axes.set(xlabel="linear probe, fitted at once: no epochs", xticks=())
        axes.legend(fontsize=9, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    which = f"; bold: training {k + 1}" if len(trainings) > 1 else ""
    figure.suptitle(f"{counted(len(trainings)).capitalize()} of {run} on {about.caption}{which}")
    return figure


def _plot_lines(axes, trainings: list[Columns], lines: dict[str, tuple], bold: int) -> None:
    for name, (label, colour, dashes) in lines.items():
        for k, one in enumerate(trainings):
            weight = {"lw": 2, "label": label} if k == bold else {"lw": 1, "alpha": 0.4}
            axes.plot(one["epoch"], one[name], ".", ms=4, color=colour, ls=dashes, **weight)
