"""Latent spaces of one or several runs."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.data.captions import About
from chestflow.formatting import mean_sd, percent
from chestflow.plots.style import CLASS_COLOURS


def latent(points: dict[str, dict], reports: dict[str, dict], about: About) -> Figure:
    """PCA and t-SNE of the same test images' latent vectors, coloured by class; a row per run, and
    below it how well the classes separate.

    points: the columns of projections.csv by run; reports: the runs' metrics of their latent
    spaces.
    """
    figure = Figure(figsize=(9, 0.8 + 4.2 * len(points)))
    rows = figure.subfigures(len(points), 1, squeeze=False).flat
    for row, (run, report) in zip(rows, reports.items()):
        left, right = row.subplots(1, 2)
        _scatter(left, points[run], "pca", about)
        _scatter(right, points[run], "tsne", about)
        first, second = map(percent, report["variance_explained"])
        left.set(title="PCA", xlabel=f"component 1 ({first})", ylabel=f"component 2 ({second})")
        right.set(title="t-SNE (axes without units)", xticks=(), yticks=())
        left.legend()
        row.suptitle(f"{run}, training {report['training'] + 1} of {report['trainings']}")
        row.supxlabel(
            f"silhouette {mean_sd(report, 'silhouette')}"
            f" · k-NN balanced accuracy {mean_sd(report, 'knn_balanced_accuracy')}"
            f" · linear-probe AUROC {mean_sd(report, 'probe_auroc')}",
            fontsize=11,
        )
    figure.suptitle(
        f"Latent space of test images, {about.caption}\n"
        "PCA: share of the variance in brackets; scores: mean ± sd over the trainings"
    )
    return figure


def _scatter(axes, points: dict[str, list], method: str, about: About) -> None:
    """Points coloured by class, in random order so that neither class hides the other. Both axes
    have the same scale, so that distances can be compared."""
    places = np.column_stack([points[f"{method}_1"], points[f"{method}_2"]])
    labels = np.array([about.classes.index(name) for name in points["class"]])
    if np.isnan(places).all():  # of a collapsed network
        axes.text(0.5, 0.5, "all embeddings are equal", ha="center", transform=axes.transAxes)
    order = np.random.default_rng(0).permutation(len(places))
    colours = np.array(CLASS_COLOURS)[labels[order]]
    axes.scatter(*places[order].T, c=colours, s=9, alpha=0.6, linewidths=0)
    axes.set_aspect("equal", adjustable="datalim")
    for label, name in enumerate(about.classes):
        n = (labels == label).sum()
        axes.scatter((), (), c=CLASS_COLOURS[label], s=30, label=f"{name} (n = {n:,})")
