"""Confusion matrix, ROC, precision-recall and reliability of one run."""

import numpy as np
from matplotlib.figure import Figure

from chestflow import history
from chestflow.data.captions import About
from chestflow.formatting import counted, percent, scored
from chestflow.history import Columns
from chestflow.plots.style import CLASS_COLOURS, GREY

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


def validation(found: dict, own: dict | None, trained_on: str, given: str) -> Figure:
    """ROC and reliability of one network on labelled images from elsewhere and, where they are
    known, on its own test set.

    found, own: n, `roc` (rows of false and true positive rate; None where a class is missing),
    `reliability` (rows of predicted, observed and n) and `label` for the legend of `roc`.
    """
    figure = Figure(figsize=(10, 5.3), layout="constrained")
    roc, reliability = figure.subplots(1, 2)
    roc.plot((0, 1), (0, 1), color=GREY, ls=":", label="chance .500")
    reliability.plot((0, 1), (0, 1), color=GREY, ls=":", label="perfectly calibrated")
    for curves, name, style in (
        (found, "these images", {"color": CLASS_COLOURS[1]}),
        (own, "own test set", {"color": CLASS_COLOURS[0], "ls": "--"}),
    ):
        if curves is not None:
            _curves(roc, reliability, curves, name, style)
    if found["roc"] is None:
        roc.text(0.5, 0.6, "not defined: one class only", ha="center")
    roc.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC curve")
    reliability.set(xlabel="predicted probability, calibrated", ylabel="observed share")
    reliability.set(title="Reliability (area: share of images)")
    for axes, corner in ((roc, "lower right"), (reliability, "upper left")):
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        axes.set_aspect("equal")
        axes.legend(frameon=False, loc=corner, fontsize=10)
    figure.suptitle(f"{trained_on} on {given}")
    return figure


def _curves(roc, reliability, curves: dict, name: str, style: dict) -> None:
    if curves["roc"] is not None:
        rates = ("false_positive_rate", "true_positive_rate")
        points = ([row[rate] for row in curves["roc"]] for rate in rates)
        roc.plot(*points, label=f"{name}: {curves['label']}", **style)
    bins = curves["reliability"]
    predicted, observed = ([row[key] for row in bins] for key in ("predicted", "observed"))
    reliability.plot(predicted, observed, label=f"{name}, n = {curves['n']:,}", **style)
    sizes = [12 + 250 * row["n"] / curves["n"] for row in bins]
    reliability.scatter(predicted, observed, s=sizes, color=style["color"], clip_on=False)
