"""Latent spaces: one run's, or several side by side; and how far from one images lie."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.data.captions import About
from chestflow.formatting import counted, number, percent, spread
from chestflow.plots.style import CLASS_COLOURS, GREY, label


def latent(points: dict[str, list], report: dict, about: About, run: str) -> Figure:
    """PCA and t-SNE of the test images' latent vectors side by side, coloured by class.

    points: the columns of latent.csv; report: the run's metrics of its latent space.
    """
    labels = np.array([about.classes.index(name) for name in points["class"]])
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    scatter(left, _plane(points, "pca"), labels, about)
    scatter(right, _plane(points, "tsne"), labels, about)
    first, second = report["variance_explained"]
    left.set(
        title="PCA",
        xlabel=f"component 1 ({percent(first)} of the variance)",
        ylabel=f"component 2 ({percent(second)})",
    )
    right.set(title="t-SNE (axes without units)", xticks=(), yticks=())
    left.legend(frameon=False, loc="best")
    which = f"training {report['training'] + 1} of {report['trainings']}"
    figure.suptitle(f"Latent space of {run} on {about.caption}, test split, {which}")
    figure.supxlabel(separation(report), fontsize=11)
    return figure


def _plane(points: dict[str, list], kind: str) -> np.ndarray:
    return np.column_stack([points[f"{kind}_1"], points[f"{kind}_2"]])


def scatter(axes, points: np.ndarray, labels: np.ndarray, about: About) -> None:
    """Points coloured by class in random order, so that neither class covers the other; both axes
    on the same scale, as distances ask for."""
    order = np.random.default_rng(0).permutation(len(points))
    colours = np.array(CLASS_COLOURS)[labels[order]]
    axes.scatter(*points[order].T, c=colours, s=9, alpha=0.6, linewidths=0)
    axes.set_aspect("equal", adjustable="datalim")
    for kind, name in enumerate(about.classes):
        n = int((labels == kind).sum())
        axes.scatter((), (), c=CLASS_COLOURS[kind], s=30, label=label(f"{name} (n = {n:,})"))


def separation(report: dict) -> str:
    """The scores of a latent space, those that have an interval with it, in one line."""
    return " · ".join(
        [
            f"silhouette {number(report['silhouette'])}",
            f"k-NN balanced accuracy {spread(report, 'knn_balanced_accuracy')}",
            f"linear-probe AUROC {spread(report, 'probe_auroc')}",
        ]
    )


def latent_spaces(
    points: dict[str, dict],
    separations: dict[str, dict],
    starts: dict[str, str],
    similar: list[dict],
    about: About,
) -> Figure:
    """Latent spaces of several runs on the same test images: PCA above, t-SNE below, and under each
    pair how well the classes separate and how far training moved the encoder from its start."""
    n = len(points)
    figure = Figure(figsize=(4 * n, 8.8), layout="constrained")
    axes = figure.subplots(2, n, squeeze=False)
    cka = {(pair["a"], pair["b"]): pair["cka"] for pair in similar}
    for column, (run, table) in enumerate(points.items()):
        labels = np.array([about.classes.index(name) for name in table["class"]])
        for row, kind in zip(axes[:, column], ("pca", "tsne")):
            scatter(row, _plane(table, kind), labels, about)
            row.set(xticks=(), yticks=())
        axes[0, column].set_title(f"{run}\n(from {starts[run]})")
        report = separations[run]
        lines = [
            f"silhouette {spread(report, 'silhouette')}",
            f"k-NN bal. accuracy {spread(report, 'knn_balanced_accuracy')}",
            f"linear-probe AUROC {spread(report, 'probe_auroc')}",
        ]
        if (starts[run], run) in cka:
            lines.append(f"CKA with {starts[run]}: {cka[starts[run], run]:.3f}")
        axes[1, column].set_xlabel("\n".join(lines), fontsize=11)
    for row, name in zip(axes[:, 0], ("PCA", "t-SNE")):
        row.set_ylabel(f"{name} (no units)")
    axes[0, 0].legend(frameon=False, fontsize=10)
    trainings = counted(next(iter(separations.values()))["trainings"])
    figure.suptitle(
        f"Latent spaces of the same test images, {about.caption}\n"
        f"points: the training with the median validation loss; figures: mean ± sd, {trainings}"
    )
    return figure


def unlikeness(distances: np.ndarray, usual: np.ndarray, limit: float) -> Figure:
    """How far images from elsewhere lie from the training images, and how far validation's do.

    distances: (N,), usual: (V,), above 0; limit: percent of validation images that are nearer than
    what counts as unlike.
    """
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    both = np.concatenate([distances, usual])
    edges = np.geomspace(both.min() * 0.99, both.max() * 1.01, 41).tolist()
    shares = [np.full(len(values), 100 / len(values)) for values in (usual, distances)]
    names = [
        f"{name}, n = {len(values):,}"
        for name, values in (("validation images", usual), ("these images", distances))
    ]
    blue, orange = CLASS_COLOURS
    axes.hist(distances, edges, weights=shares[1], color=orange, alpha=0.5, label=names[1])
    axes.hist(usual, edges, weights=shares[0], color=blue, histtype="step", lw=2, label=names[0])
    axes.axvline(np.percentile(usual, limit), color=GREY, ls=":", label="beyond: unlike")
    axes.set(xscale="log", ylabel="images (%)")
    axes.set_xlabel("squared Mahalanobis distance from the training images")
    axes.xaxis.set_major_formatter("{x:g}")  # the usual one writes powers as formulas
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="x", which="minor", labelsize=8)
    axes.margins(y=0.05)
    figure.legend(frameon=False, fontsize=10, loc="outside upper center", ncols=3)
    return figure
