"""Confusion matrix, ROC, precision-recall and reliability of one run."""

import numpy as np
from matplotlib.figure import Figure

from chestflow import history
from chestflow.data.captions import About
from chestflow.formatting import counted, number, percent, scored
from chestflow.history import Columns
from chestflow.plots.style import CLASS_COLOURS, GREY

SHARES = (-0.04, 1.04)  # room for whole markers at 0 and at 1


def evaluation(report: dict, curves: dict[str, Columns], about: About, run: str) -> Figure:
    """The confusion matrix of the representative training, and the curves of all trainings, with
    the representative one in black. All axes of the curves run from 0 to 1.

    report: the run's scores.json; curves: the columns of predictions.csv, roc.csv,
    precision_recall.csv and reliability.csv.
    """
    by_training = {name: history.by_training(columns) for name, columns in curves.items()}
    k = report["representative"]
    predictions = by_training["predictions"][k]
    labels, predicted = (np.array(predictions[key]) for key in ("actual", "predicted"))
    figure = Figure(figsize=(10, 9.3), layout="constrained")
    confusion, roc, recall, reliability = figure.subplots(2, 2).flat
    _confusion(confusion, labels, predicted, about)
    confusion.set_title(f"Confusion matrix of training {k + 1} of {report['trainings']}")
    _roc(roc, by_training["roc"], report)
    _precision_recall(recall, by_training["precision_recall"], report, labels.mean())
    _reliability(reliability, by_training["reliability"], report)
    for axes in (roc, recall, reliability):
        axes.set(xlim=SHARES, ylim=SHARES, aspect="equal")
    n = f"n = {report['n']:,} images × {counted(report['trainings'])}"
    others = f"\ncurves: black, training {k + 1}; grey, the others" * (report["trainings"] > 1)
    figure.suptitle(f"{run} on {about.caption}, test split, {n}{others}")
    return figure


def _plot_all(axes, curves: list[Columns], x: str, y: str, representative: int, label: str):
    """One line per training; the representative one is black and on top."""
    for k in sorted(range(len(curves)), key=lambda k: k == representative):
        grey = {"color": "#bbbbbb", "lw": 1}
        style = {"color": "black", "label": label} if k == representative else grey
        axes.plot(curves[k][x], curves[k][y], **style)


def _confusion(axes, labels: np.ndarray, predicted: np.ndarray, about: About) -> None:
    cells = np.array([[((labels == a) & (predicted == p)).sum() for p in (0, 1)] for a in (0, 1)])
    shares = cells / cells.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(cells):
        share = shares[row, column]
        colour = "white" if share > 0.5 else "black"
        text = f"{count:,}\n{percent(share)} of row"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=12)
    axes.set_xticks((0, 1), about.classes)
    axes.set_yticks((0, 1), about.classes, rotation=90, va="center")
    axes.set(xlabel="predicted at threshold 0.5", ylabel="actual")
    axes.spines[:].set_visible(False)


def _roc(axes, curves: list[Columns], report: dict) -> None:
    rates = ("false_positive_rate", "true_positive_rate")
    label = f"AUROC {scored(report, 'auroc')}"
    _plot_all(axes, curves, *rates, report["representative"], label)
    axes.plot((0, 1), (0, 1), color=GREY, ls=":", label="chance 0.500")
    chosen = report["at_val_threshold"]
    x, y = 1 - chosen["specificity"][0], chosen["recall"][0]
    axes.plot(x, y, "o", color=CLASS_COLOURS[1], label="validation's threshold, mean")
    x, y = 1 - report["specificity"], report["recall"]
    axes.plot(x, y, "s", color=GREY, label="threshold 0.5, mean")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC curve")
    axes.legend(frameon=False, loc="lower right", fontsize=10)


def _precision_recall(axes, curves: list[Columns], report: dict, share: float) -> None:
    label = f"average precision {scored(report, 'auprc')}"
    _plot_all(axes, curves, "recall", "precision", report["representative"], label)
    axes.axhline(share, color=GREY, ls=":", label=f"chance {share:.3f}")
    axes.set(xlabel="recall", ylabel="precision", title="Precision-recall curve")
    axes.legend(frameon=False, loc="lower left", fontsize=10)


def _reliability(axes, curves: list[Columns], report: dict) -> None:
    axes.plot((0, 1), (0, 1), color=GREY, ls=":", label="perfectly calibrated")
    k, error = report["representative"], report["scaling"]["calibration_error"]["as_trained"]
    _plot_all(axes, curves, "predicted", "observed", k, f"calibration error {number(error)}")
    bins = curves[k]
    sizes = 12 + 250 * np.array(bins["n"]) / sum(bins["n"])
    axes.scatter(bins["predicted"], bins["observed"], s=sizes, color="black")
    axes.set(xlabel="predicted probability", ylabel="observed share", title="Reliability")
    legend = axes.legend(frameon=False, fontsize=10, title="dots: area is the share of images")
    legend.get_title().set_fontsize(10)
