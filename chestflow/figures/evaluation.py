"""Confusion matrix, ROC, precision-recall and reliability of one run."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.core import history
from chestflow.core.history import Columns
from chestflow.figures.style import CLASS_COLOURS, GREY
from chestflow.images.captions import About
from chestflow.wording import counted, percent, scored

SHARES = (-0.04, 1.04)  # room for whole markers at 0 and at 1


def evaluation(report: dict, curves: dict[str, Columns], about: About, run: str) -> Figure:
    """Confusion matrix, ROC, precision-recall and reliability of one run on its test images: the
    matrix of the training that is shown, the curves of all, that one in black. All curves are of
    shares, so that all have the same ranges.

    report: its metrics file; curves: the columns of predictions.csv, roc.csv, precision_recall.csv
    and reliability.csv.
    """
    by_training = {name: history.by_training(columns) for name, columns in curves.items()}
    shown = report["shown"]
    predictions = by_training["predictions"][shown]
    labels, predicted = (np.array(predictions[key]) for key in ("actual", "predicted"))
    figure = Figure(figsize=(10, 9.3), layout="constrained")
    confusion, roc, recall, reliability = figure.subplots(2, 2).flat
    _confusion(confusion, labels, predicted, about)
    confusion.set_title(f"Confusion matrix of training {shown + 1} of {report['trainings']}")
    _roc(roc, by_training["roc"], report)
    _precision_recall(recall, by_training["precision_recall"], report, labels.mean())
    _reliability(reliability, by_training["reliability"], report)
    for axes in (roc, recall, reliability):
        axes.set(xlim=SHARES, ylim=SHARES, aspect="equal")
    n = f"n = {report['n']:,} images × {counted(report['trainings'])}"
    others = f"\ncurves: black, training {shown + 1}; grey, the others" * (report["trainings"] > 1)
    figure.suptitle(f"{run} on {about.caption}, test split, {n}{others}")
    return figure


def _all_trainings(axes, found: list[Columns], x: str, y: str, shown: int, label: str) -> None:
    """One line per training, that of the one that is shown on top in black."""
    for k in sorted(range(len(found)), key=lambda k: k == shown):
        style = {"color": "black", "label": label} if k == shown else {"color": "#bbbbbb", "lw": 1}
        axes.plot(found[k][x], found[k][y], **style)


def _confusion(axes, labels: np.ndarray, predicted: np.ndarray, about: About) -> None:
    cells = np.array([[((labels == a) & (predicted == p)).sum() for p in (0, 1)] for a in (0, 1)])
    shares = cells / cells.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (actual, said), count in np.ndenumerate(cells):
        share = shares[actual, said]
        colour = "white" if share > 0.5 else "black"
        text = f"{count:,}\n{percent(share)} of row"
        axes.text(said, actual, text, ha="center", va="center", color=colour, fontsize=12)
    axes.set_xticks((0, 1), about.classes)
    axes.set_yticks((0, 1), about.classes, rotation=90, va="center")
    axes.set(xlabel="predicted at threshold 0.5", ylabel="actual")
    axes.spines[:].set_visible(False)


def _roc(axes, found: list[Columns], report: dict) -> None:
    label = f"AUROC {scored(report, 'auroc')}"
    rates = ("false_positive_rate", "true_positive_rate")
    _all_trainings(axes, found, *rates, report["shown"], label)
    axes.plot((0, 1), (0, 1), color=GREY, ls=":", label="chance 0.500")
    at = report["at_val_threshold"]
    mark = "validation's threshold, mean"
    axes.plot(1 - at["specificity"][0], at["recall"][0], "o", color=CLASS_COLOURS[1], label=mark)
    axes.plot(
        1 - report["specificity"], report["recall"], "s", color=GREY, label="threshold 0.5, mean"
    )
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC curve")
    axes.legend(frameon=False, loc="lower right", fontsize=10)


def _precision_recall(axes, found: list[Columns], report: dict, share: float) -> None:
    label = f"average precision {scored(report, 'auprc')}"
    _all_trainings(axes, found, "recall", "precision", report["shown"], label)
    axes.axhline(share, color=GREY, ls=":", label=f"chance {share:.3f}")
    axes.set(xlabel="recall", ylabel="precision", title="Precision-recall curve")
    axes.legend(frameon=False, loc="lower left", fontsize=10)


def _reliability(axes, found: list[Columns], report: dict) -> None:
    axes.plot((0, 1), (0, 1), color=GREY, ls=":", label="perfectly calibrated")
    error = report["scaling"]["calibration_error"]["as_trained"]
    label = f"calibration error {error:.3f}"
    _all_trainings(axes, found, "predicted", "observed", report["shown"], label)
    shown = found[report["shown"]]
    sizes = 12 + 250 * np.array(shown["n"]) / sum(shown["n"])
    axes.scatter(shown["predicted"], shown["observed"], s=sizes, color="black")
    axes.set(xlabel="predicted probability", ylabel="observed share", title="Reliability")
    legend = axes.legend(frameon=False, fontsize=10, title="dots: area is the share of images")
    legend.get_title().set_fontsize(10)
