"""Figures for readers: each says the run, the data, the sample size and the units."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from stages.lib.data import About, Split

matplotlib.rcParams.update(
    {
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 12,
        "figure.titlesize": 13,
        "savefig.dpi": 110,
        "svg.hashsalt": "chestflow",
    }
)

# Healthy and diseased, from the palette of Okabe & Ito (2008): told apart by colour-blind readers.
CLASS_COLOURS = ("#0072B2", "#D55E00")
GREY = "#777777"
SYNTHETIC = " (synthetic films, no patients)"


def save(figure: Figure, path: Path) -> None:
    """Write a PNG whose bytes depend on nothing but the figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def headline(report: dict) -> str:
    """AUROC and accuracy with their intervals, in one line."""
    parts = (
        f"{label} {report[key]:.3f} [{report['ci95'][key][0]:.3f}, {report['ci95'][key][1]:.3f}]"
        for key, label in (("auroc", "AUROC"), ("accuracy", "accuracy"))
    )
    return f"{', '.join(parts)}, majority class {report['majority_accuracy']:.3f}"


def class_counts(counts: dict[str, dict], about: About) -> Figure:
    """Films per class and split; counts as `binarize.class_counts` gives them."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(counts))
    for label, key in enumerate(("healthy", "positive")):
        values = [split[key] for split in counts.values()]
        bars = axes.bar(
            place + (label - 0.5) * 0.4,
            values,
            0.4,
            color=CLASS_COLOURS[label],
            label=about.classes[label],
        )
        shares = [f"{v:,}\n{v / split['n']:.1%}" for v, split in zip(values, counts.values())]
        axes.bar_label(bars, shares, fontsize=9, padding=2)
    axes.set_xticks(place, [f"{name} (n = {split['n']:,})" for name, split in counts.items()])
    axes.set_ylabel("films")
    axes.margins(y=0.18)
    axes.legend(frameon=False)
    figure.suptitle(f"Classes of {about.caption()}{SYNTHETIC * about.is_phantom}")
    return figure


def history(epochs: dict[str, list[float]], about: About, run: str) -> Figure:
    """Loss and validation score over the epochs, with the epoch whose weights were kept."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    chosen = int(np.flatnonzero(epochs["improved"])[-1])
    left.plot(epochs["epoch"], epochs["train_loss"], color="black", label="training")
    left.plot(epochs["epoch"], epochs["val_loss"], color=GREY, ls="--", label="validation")
    left.set(ylabel="weighted cross-entropy", ylim=(0, None))
    left.legend(frameon=False)
    right.plot(epochs["epoch"], epochs["val_auroc"], color="black", label="AUROC")
    right.plot(
        epochs["epoch"], epochs["val_balanced_accuracy"], color=GREY, ls="--", label="bal. accuracy"
    )
    right.set(ylabel="validation score")
    starts = np.flatnonzero(np.diff(epochs["phase"])) + 1
    for axes in (left, right):
        axes.set(xlabel="epoch")
        axes.axvline(epochs["epoch"][chosen], color=CLASS_COLOURS[1], lw=1)
        for start in starts:
            axes.axvline(epochs["epoch"][start] - 0.5, color=GREY, lw=1, ls=":")
    right.plot(
        epochs["epoch"][chosen],
        epochs["val_auroc"][chosen],
        "o",
        color=CLASS_COLOURS[1],
        label=f"kept: epoch {epochs['epoch'][chosen]:.0f}, {epochs['val_auroc'][chosen]:.4f}",
    )
    right.legend(frameon=False, fontsize=9, loc="lower right")
    figure.suptitle(f"Training of {run} on {about.caption()}")
    return figure


def evaluation(
    report: dict,
    curves: dict[str, list[dict]],
    labels: np.ndarray,
    probability: np.ndarray,
    about: About,
    run: str,
) -> Figure:
    """Confusion matrix, ROC, precision-recall and reliability of one run on its test films."""
    figure = Figure(figsize=(10, 9), layout="constrained")
    confusion, roc, recall, reliability = figure.subplots(2, 2).flat
    _confusion(confusion, labels, probability, about)
    _roc(roc, curves["roc"], report)
    _precision_recall(recall, curves["precision_recall"], report, labels.mean())
    _reliability(reliability, curves["reliability"], report)
    figure.suptitle(f"{run} on {about.caption()}, test split, n = {report['n']:,}")
    return figure


def _confusion(axes, labels: np.ndarray, probability: np.ndarray, about: About) -> None:
    predicted = probability >= 0.5
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


def _roc(axes, points: list[dict], report: dict) -> None:
    label = f"AUROC {_with_interval(report, 'auroc')}"
    axes.plot(*_columns(points), color="black", label=label)
    axes.plot((0, 1), (0, 1), color=GREY, ls=":", label="chance .500")
    at = report["at_val_threshold"]
    mark = f"validation's threshold {at['threshold']:.2f}"
    axes.plot(1 - at["specificity"][0], at["recall"][0], "o", color=CLASS_COLOURS[1], label=mark)
    axes.plot(1 - report["specificity"], report["recall"], "s", color=GREY, label="threshold .5")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC curve")
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="lower right", fontsize=10)


def _precision_recall(axes, points: list[dict], report: dict, share: float) -> None:
    label = f"average precision {_with_interval(report, 'auprc')}"
    axes.plot(*_columns(points), color="black", label=label)
    axes.axhline(share, color=GREY, ls=":", label=f"chance {share:.3f}")
    axes.set(xlabel="recall", ylabel="precision", title="Precision-recall curve", ylim=(0, 1.02))
    axes.legend(frameon=False, loc="lower left", fontsize=10)


def _reliability(axes, points: list[dict], report: dict) -> None:
    predicted, observed, n = _columns(points)
    axes.plot((0, 1), (0, 1), color=GREY, ls=":", label="perfectly calibrated")
    error, low, high = report["further"]["calibration_error"]
    label = f"calibration error {error:.3f} [{low:.3f}, {high:.3f}]"
    axes.plot(predicted, observed, "-", color="black", lw=1, label=label)
    axes.scatter(predicted, observed, s=12 + 250 * np.array(n) / sum(n), color="black", zorder=3)
    axes.set(xlabel="predicted probability", ylabel="observed share", title="Reliability")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, loc="upper left", fontsize=10, title="area: share of films")


def gradcam(
    films: Split, probability: np.ndarray, maps: list[np.ndarray], about: About, run: str
) -> Figure:
    """One column per film: the film (with the true finding's outline, on phantoms), and the
    evidence for either class over it."""
    n = len(films)
    figure = Figure(figsize=(1.35 * n + 1.6, 5.9), layout="constrained")
    axes = figure.subplots(3, n, squeeze=False)
    for i in range(n):
        said = int(probability[i] >= 0.5)
        wrong = said != films.labels[i]
        title = f"{about.classes[films.labels[i]]}\np = {probability[i]:.2f}"
        axes[0, i].set_title(
            title + ("\nERROR" if wrong else "\n"),
            fontsize=11,
            color=CLASS_COLOURS[1] if wrong else "black",
        )
        for row in axes[:, i]:
            row.imshow(films.images[i], cmap="gray", vmin=0, vmax=255)
            row.set_xticks(())
            row.set_yticks(())
        if films.masks is not None and films.masks[i].any():
            axes[0, i].contour(films.masks[i], levels=[0.5], colors="#56B4E9", linewidths=1.5)
        for row, overlay in zip(axes[1:, i], maps):
            drawn = row.imshow(overlay[i], cmap="inferno", alpha=0.5, vmin=0, vmax=1)
    outline = "\n(blue: true finding)" if films.masks is not None else ""
    for row, text in zip(
        axes[:, 0], (f"film{outline}", *(f"evidence for\n{name}" for name in about.classes))
    ):
        row.set_ylabel(text, fontsize=12)
    bar = figure.colorbar(drawn, ax=axes[1:, :], shrink=0.8, pad=0.01)
    bar.set_label("GradCAM, each map from 0 to 1")
    figure.suptitle(
        f"GradCAM of {run} on {about.caption()}: {n} test films, true class and probability of"
        f" {about.classes[1]}"
    )
    return figure


def latent(
    projections: dict[str, np.ndarray],
    explained: np.ndarray,
    labels: np.ndarray,
    report: dict,
    about: About,
    run: str,
) -> Figure:
    """PCA and t-SNE of the test films' latent vectors side by side, coloured by class."""
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    scatter(left, projections["pca"], labels, about)
    scatter(right, projections["tsne"], labels, about)
    left.set(
        title="PCA",
        xlabel=f"component 1 ({explained[0]:.1%} of the variance)",
        ylabel=f"component 2 ({explained[1]:.1%})",
    )
    right.set(title="t-SNE (axes without units)", xticks=(), yticks=())
    left.legend(frameon=False, loc="best")
    figure.suptitle(f"Latent space of {run} on {about.caption()}, test split")
    figure.supxlabel(separation(report), fontsize=11)
    return figure


def scatter(axes, points: np.ndarray, labels: np.ndarray, about: About) -> None:
    """Points coloured by class in random order, so that neither class covers the other."""
    order = np.random.default_rng(0).permutation(len(points))
    colours = np.array(CLASS_COLOURS)[labels[order]]
    axes.scatter(*points[order].T, c=colours, s=9, alpha=0.6, linewidths=0)
    for label, name in enumerate(about.classes):
        n = int((labels == label).sum())
        axes.scatter((), (), c=CLASS_COLOURS[label], s=30, label=f"{name} (n = {n:,})")


def separation(report: dict) -> str:
    """The scores of a latent space with their intervals, in one line."""
    return " · ".join(
        f"{label} {_with_interval(report, key)}"
        for key, label in (
            ("silhouette", "silhouette"),
            ("knn_balanced_accuracy", "k-NN balanced accuracy"),
            ("probe_auroc", "linear-probe AUROC"),
        )
    )


def _with_interval(report: dict, key: str) -> str:
    low, high = report["ci95"][key]
    return f"{report[key]:.3f} [{low:.3f}, {high:.3f}]"


def _columns(rows: list[dict]) -> list[list]:
    return [list(column) for column in zip(*(row.values() for row in rows))]
