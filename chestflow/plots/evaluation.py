"""Confusion matrix, ROC, precision-recall and reliability of one run."""

import numpy as np
from matplotlib.figure import Figure

from chestflow import history
from chestflow.data.captions import About
from chestflow.formatting import counted, number, percent, scored
from chestflow.history import Columns
from chestflow.plots.style import CLASS_COLOURS, GREY

SHARES = (-0.04, 1.04)  # room for whole markers at 0 and at 1
DOTTED = {"color": GREY, "ls": ":"}


def evaluation(report: dict, curves: dict[str, Columns], about: About, run: str) -> Figure:
    """The confusion matrix of the representative training, and the curves of all trainings, with
    the representative one in black.

    report: the run's scores.json; curves: the columns of predictions.csv, roc.csv,
    precision_recall.csv and reliability.csv.
    """
    by_training = {name: history.by_training(columns) for name, columns in curves.items()}
    k, trainings = report["representative"], report["trainings"]
    predictions = by_training["predictions"][k]
    figure = Figure(figsize=(10, 9.3))
    confusion, roc, recall, reliability = figure.subplots(2, 2).flat
    _confusion(confusion, predictions, about)
    confusion.set_title(f"Confusion matrix of training {k + 1} of {trainings}")
    _roc(roc, by_training["roc"], report)
    label = f"average precision {scored(report, 'auprc')}"
    _curves(recall, by_training["precision_recall"], "recall", "precision", k, label)
    share = np.mean(predictions["actual"])
    recall.axhline(share, **DOTTED, label=f"chance {share:.3f}")
    recall.legend(loc="lower left")
    recall.set_title("Precision-recall curve")
    _reliability(reliability, by_training["reliability"], report)
    n = f"n = {report['n']:,} images × {counted(trainings)}"
    others = f"\ncurves: black, training {k + 1}; grey, the others" * (trainings > 1)
    figure.suptitle(f"{run} on {about.caption}, test split, {n}{others}")
    return figure


def _confusion(axes, predictions: Columns, about: About) -> None:
    pairs = list(zip(predictions["actual"], predictions["predicted"]))
    cells = np.array([[pairs.count((row, column)) for column in (0, 1)] for row in (0, 1)])
    shares = cells / cells.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.5 else "black"
        text = f"{cells[row, column]:,}\n{percent(share)} of row"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=12)
    axes.set_xticks((0, 1), about.classes)
    axes.set_yticks((0, 1), about.classes, rotation=90, va="center")
    axes.set(xlabel="predicted at threshold 0.5", ylabel="actual")
    axes.spines[:].set_visible(False)


def _curves(axes, curves: list[Columns], x: str, y: str, representative: int, label: str) -> None:
    """One line per training; the representative one is black and on top."""
    for curve in curves:
        axes.plot(curve[x], curve[y], color="#bbbbbb", lw=1)
    axes.plot(curves[representative][x], curves[representative][y], color="black", label=label)
    axes.set(xlim=SHARES, ylim=SHARES, aspect="equal")
    axes.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))


def _roc(axes, curves: list[Columns], report: dict) -> None:
    label = f"AUROC {scored(report, 'auroc')}"
    rates = ("false_positive_rate", "true_positive_rate")
    _curves(axes, curves, *rates, report["representative"], label)
    axes.plot((0, 1), (0, 1), **DOTTED, label="chance 0.500")
    chosen = report["at_val_threshold"]
    x, y = 1 - chosen["specificity"][0], chosen["recall"][0]
    axes.plot(x, y, "o", color=CLASS_COLOURS[1], label="validation's threshold, mean")
    x, y = 1 - report["specificity"], report["recall"]
    axes.plot(x, y, "s", color=GREY, label="threshold 0.5, mean")
    axes.legend(loc="lower right")
    axes.set_title("ROC curve")


def _reliability(axes, curves: list[Columns], report: dict) -> None:
    bins = curves[report["representative"]]
    axes.plot((0, 1), (0, 1), **DOTTED, label="perfectly calibrated")
    label = f"calibration error {number(report['scaling']['calibration_error']['as_trained'])}"
    _curves(axes, curves, "predicted", "observed", report["representative"], label)
    sizes = 12 + 250 * np.array(bins["n"]) / sum(bins["n"])
    axes.scatter(bins["predicted"], bins["observed"], s=sizes, color="black")
    axes.set(xlabel="predicted probability", ylabel="observed share", title="Reliability")
    axes.legend(title="dots: area is the share of images", title_fontsize=10)
