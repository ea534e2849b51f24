"""Confusion matrix, ROC, precision-recall and reliability of one run."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.figures.style import CLASS_COLOURS, GREY
from chestflow.images.captions import About
from chestflow.wording import scored


def evaluation(
    report: dict,
    curves: dict[str, dict[str, list]],
    about: About,
    run: str,
) -> Figure:
    """Confusion matrix, ROC, precision-recall and reliability of one run on its test images.

    report: its metrics file; curves: the columns of predictions.csv, roc.csv, precision_recall.csv
    and reliability.csv.
    """
    labels, predicted = (np.array(curves["predictions"][key]) for key in ("actual", "predicted"))
    figure = Figure(figsize=(10, 9), layout="constrained")
    confusion, roc, recall, reliability = figure.subplots(2, 2).flat
    _confusion(confusion, labels, predicted, about)
    _roc(roc, curves["roc"], report)
    _precision_recall(recall, curves["precision_recall"], report, labels.mean())
    _reliability(reliability, curves["reliability"], report)
    figure.suptitle(f"{run} on {about.caption}, test split, n = {report['n']:,}")
    return figure


def _confusion(axes, labels: np.ndarray, predicted: np.ndarray, about: About) -> None:
    cells = np.array([[((labels == a) & (predicted == p)).sum() for p in (0, 1)] for a in (0, 1)])
    shares = cells / cells.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (actual, said), count in np.ndenumerate(cells):
        share = shares[actual, said]
        colour = "white" if share > 0.5 else "black"
        text = f"{count:,}\n{share:.1%} of row"
        axes.text(said, actual, text, ha="center", va="center", color=colour, fontsize=12)
    axes.set_xticks((0, 1), about.classes)
    axes.set_yticks((0, 1), about.classes, rotation=90, va="center")
    axes.set(xlabel="predicted at threshold .5", ylabel="actual", title="Confusion matrix")
    axes.spines[:].set_visible(False)


def _roc(axes, points: dict[str, list], report: dict) -> None:
    label = f"AUROC {scored(report, 'auroc')}"
    axes.plot(*points.values(), color="black", label=label)
    axes.plot((0, 1), (0, 1), color=GREY, ls=":", label="chance .500")
    at = report["at_val_threshold"]
    mark = f"validation's threshold {at['threshold']:.2f}"
    axes.plot(1 - at["specificity"][0], at["recall"][0], "o", color=CLASS_COLOURS[1], label=mark)
    axes.plot(1 - report["specificity"], report["recall"], "s", color=GREY, label="threshold .5")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC curve")
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="lower right", fontsize=10)


def _precision_recall(axes, points: dict[str, list], report: dict, share: float) -> None:
    label = f"average precision {scored(report, 'auprc')}"
    axes.plot(*points.values(), color="black", label=label)
    axes.axhline(share, color=GREY, ls=":", label=f"chance {share:.3f}")
    axes.set(xlabel="recall", ylabel="precision", title="Precision-recall curve", ylim=(0, 1.02))
    axes.legend(frameon=False, loc="lower left", fontsize=10)


def _reliability(axes, points: dict[str, list], report: dict) -> None:
    predicted, observed, n = points.values()
    axes.plot((0, 1), (0, 1), color=GREY, ls=":", label="perfectly calibrated")
    label = f"calibration error {report['scaling']['calibration_error'][0]:.3f}"
    axes.plot(predicted, observed, "-", color="black", lw=1, label=label)
    axes.scatter(
        predicted,
        observed,
        s=12 + 250 * np.array(n) / sum(n),
        color="black",
        zorder=3,
        clip_on=False,
    )
    axes.set(xlabel="predicted probability", ylabel="observed share", title="Reliability")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, loc="lower right", fontsize=10, title="area: share of images")
