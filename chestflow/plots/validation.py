"""The figures of `validate`: ROC and reliability, and the worst errors."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.plots.style import CLASS_COLOURS, GREY


def curves(roc: list[dict] | None, reliability: list[dict], label: str, title: str) -> Figure:
    """ROC curve and reliability diagram of one network.

    roc: rows of false and true positive rate, None where a class is missing; reliability: rows of
    predicted, observed and n; label: of the ROC curve.
    """
    figure = Figure(figsize=(10, 5.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    colour = CLASS_COLOURS[1]
    left.plot((0, 1), (0, 1), color=GREY, ls=":", label="chance .500")
    right.plot((0, 1), (0, 1), color=GREY, ls=":", label="perfectly calibrated")
    if roc is None:
        left.text(0.5, 0.6, "not defined: one class only", ha="center")
    else:
        rates = ("false_positive_rate", "true_positive_rate")
        left.plot(*([row[rate] for row in roc] for rate in rates), color=colour, label=label)
    predicted, observed, n = (
        np.array([row[key] for row in reliability]) for key in ("predicted", "observed", "n")
    )
    right.plot(predicted, observed, color=colour, label="these images")
    right.scatter(predicted, observed, s=12 + 250 * n / n.sum(), color=colour, clip_on=False)
    left.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC curve")
    right.set(xlabel="predicted probability, calibrated", ylabel="observed share")
    right.set(title="Reliability (area: share of images)")
    for axes, corner in ((left, "lower right"), (right, "upper left")):
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        axes.legend(frameon=False, loc=corner, fontsize=10)
    figure.suptitle(title)
    return figure


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
