"""Latent spaces: one run's, or several side by side."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.data.captions import About
from chestflow.formatting import counted, mean_sd, percent
from chestflow.plots.style import CLASS_COLOURS

METHODS = {"pca": "PCA", "tsne": "t-SNE"}


def latent(points: dict[str, list], report: dict, about: About, run: str) -> Figure:
    """PCA and t-SNE of the test images' latent vectors side by side, coloured by class.

    points: the columns of projections.csv; report: the run's metrics of its latent space.
    """
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, method in ((left, "pca"), (right, "tsne")):
        scatter(axes, points, method, about)
    first, second = report["variance_explained"]
    left.set(
        title="PCA",
        xlabel=f"component 1 (variance explained: {percent(first)})",
        ylabel=f"component 2 (variance explained: {percent(second)})",
    )
    right.set(title="t-SNE (axes without units)", xticks=(), yticks=())
    left.legend(frameon=False, loc="best")
    which = f"training {report['training'] + 1} of {report['trainings']}"
    figure.suptitle(f"Latent space of {run} on {about.caption}, test split, {which}")
    figure.supxlabel(" · ".join(separation(report)), fontsize=11)
    return figure


def scatter(axes, points: dict[str, list], method: str, about: About) -> None:
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
        n = int((labels == label).sum())
        axes.scatter((), (), c=CLASS_COLOURS[label], s=30, label=f"{name} (n = {n:,})")


def separation(report: dict) -> list[str]:
    """How well the classes separate in a latent space, score by score."""
    return [
        f"silhouette {mean_sd(report, 'silhouette')}",
        f"k-NN balanced accuracy {mean_sd(report, 'knn_balanced_accuracy')}",
        f"linear-probe AUROC {mean_sd(report, 'probe_auroc')}",
    ]


def latent_spaces(
    points: dict[str, dict],
    separations: dict[str, dict],
    starts: dict[str, str],
    pairs: list[dict],
    about: About,
) -> Figure:
    """Latent spaces of several runs on the same test images: PCA above, t-SNE below. Under each
    column, how well the classes separate, and how similar the latent space still is to its start.

    pairs: the CKA of pairs of latent spaces, as in data/comparison.json.
    """
    figure = Figure(figsize=(4 * len(points), 8.8), layout="constrained")
    axes = figure.subplots(2, len(points), squeeze=False)
    cka = {(pair["a"], pair["b"]): pair["cka"] for pair in pairs}
    for column, (run, projected) in enumerate(points.items()):
        for row, method in zip(axes[:, column], METHODS):
            scatter(row, projected, method, about)
            row.set(xticks=(), yticks=())
        axes[0, column].set_title(f"{run}\n(from {starts[run]})")
        lines = separation(separations[run])
        if (starts[run], run) in cka:
            lines.append(f"CKA with {starts[run]}: {cka[starts[run], run]:.3f}")
        axes[1, column].set_xlabel("\n".join(lines), fontsize=11)
    for row, name in zip(axes[:, 0], METHODS.values()):
        row.set_ylabel(f"{name} (no units)")
    axes[0, 0].legend(frameon=False, fontsize=10)
    trainings = counted(next(iter(separations.values()))["trainings"])
    figure.suptitle(
        f"Latent spaces of the same test images, {about.caption}\n"
        f"points: the training with the median validation loss; scores: mean ± sd, {trainings}"
    )
    return figure
