"""What `validate` shows of labelled images from elsewhere: curves, and the worst errors."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.plots.style import CLASS_COLOURS, GREY


def curves(given: dict, own: dict | None, trained_on: str, caption: str) -> Figure:
    """ROC and reliability of one network on labelled images from elsewhere and, where they are
    known, on its own test set.

    given, own: n, `roc` (rows of false and true positive rate; None where a class is missing),
    `reliability` (rows of predicted, observed and n) and `label` for the legend of `roc`.
    """
    figure = Figure(figsize=(10, 5.3), layout="constrained")
    roc, reliability = figure.subplots(1, 2)
    roc.plot((0, 1), (0, 1), color=GREY, ls=":", label="chance .500")
    reliability.plot((0, 1), (0, 1), color=GREY, ls=":", label="perfectly calibrated")
    _plot(roc, reliability, given, "these images", {"color": CLASS_COLOURS[1]})
    if own is not None:
        _plot(roc, reliability, own, "own test set", {"color": CLASS_COLOURS[0], "ls": "--"})
    if given["roc"] is None:
        roc.text(0.5, 0.6, "not defined: one class only", ha="center")
    roc.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC curve")
    reliability.set(xlabel="predicted probability, calibrated", ylabel="observed share")
    reliability.set(title="Reliability (area: share of images)")
    for axes, corner in ((roc, "lower right"), (reliability, "upper left")):
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        axes.legend(frameon=False, loc=corner, fontsize=10)
    figure.suptitle(f"{trained_on} on {caption}")
    return figure


def _plot(roc, reliability, scored: dict, name: str, style: dict) -> None:
    if scored["roc"] is not None:
        rates = ("false_positive_rate", "true_positive_rate")
        points = ([row[rate] for row in scored["roc"]] for rate in rates)
        roc.plot(*points, label=f"{name}: {scored['label']}", **style)
    bins = scored["reliability"]
    predicted, observed = ([row[key] for row in bins] for key in ("predicted", "observed"))
    reliability.plot(predicted, observed, label=f"{name}, n = {scored['n']:,}", **style)
    sizes = [12 + 250 * row["n"] / scored["n"] for row in bins]
    reliability.scatter(predicted, observed, s=sizes, color=style["color"], clip_on=False)


def errors(pictures: list[np.ndarray], titles: list[str], scale: str) -> Figure:
    """The images on which a network erred most, with the evidence for disease over them, four to a
    row. pictures: (H, W, 3) each, of any shape; scale: what the colours show."""
    rows = -(-len(pictures) // 4)
    figure = Figure(figsize=(10, 2.75 * rows + 0.5), layout="constrained")
    for axes in (grid := figure.subplots(rows, 4, squeeze=False)).flat:
        axes.set_axis_off()
    for axes, picture, title in zip(grid.flat, pictures, titles):
        axes.imshow(picture)
        axes.set_title(title, fontsize=10)
    figure.suptitle(scale)
    return figure
