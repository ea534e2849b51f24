"""GradCAM maps over test images, and over yours."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.data.arrays import Split
from chestflow.data.captions import About
from chestflow.plots.style import CLASS_COLOURS, OUTLINE

COLORMAP = "inferno"  # even steps of brightness: readable in print and without colour


def gradcam(
    split: Split,
    probability: np.ndarray,
    maps: np.ndarray,
    about: About,
    run: str,
    training: str,
    layer: str,
) -> Figure:
    """One column per image: the image (with the true finding's outline, on phantoms), and the
    evidence for either class over it. layer: as in params.yaml."""
    n = len(split)
    figure = Figure(figsize=(max(1.1 * n + 1.6, 9), 5), layout="constrained")
    axes = figure.subplots(3, n, squeeze=False)
    for i in range(n):
        said = int(probability[i] >= 0.5)
        wrong = said != split.labels[i]
        title = f"{about.classes[split.labels[i]]}\np = {probability[i]:.2f}"
        axes[0, i].set_title(
            title + ("\nERROR" if wrong else "\n"),
            fontsize=10,
            color=CLASS_COLOURS[1] if wrong else "black",
        )
        for row in axes[:, i]:
            row.imshow(split.images[i], cmap="gray", vmin=0, vmax=255)
            row.set_xticks(())
            row.set_yticks(())
        if split.masks is not None and split.masks[i].any():
            axes[0, i].contour(split.masks[i], levels=[0.5], colors=OUTLINE, linewidths=1.5)
        for row, overlay in zip(axes[1:, i], maps):
            drawn = row.imshow(overlay[i], cmap=COLORMAP, alpha=0.5, vmin=0, vmax=1)
    outline = "\n(blue: true finding)" if split.masks is not None else ""
    for row, text in zip(
        axes[:, 0], (f"image{outline}", *(f"evidence for\n{name}" for name in about.classes))
    ):
        row.set_ylabel(text)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.6, pad=0.01)  # of all rows: they stay aligned
    bar.set_label("GradCAM, each map from 0 to 1")
    where = "the last convolution" if layer == "last" else f"convolution {layer}"
    figure.suptitle(
        f"GradCAM of {run} ({training}) at {where}\n{n} test images of {about.caption}: true class"
        f" and probability of {about.classes[1]}"
    )
    return figure


def errors(pictures: list[np.ndarray], titles: list[str], scale: str) -> Figure:
    """The images on which a network erred most, with the evidence for disease over them, four to a
    row.

    pictures: (H, W, 3) each, of any shape; scale: what the colours show.
    """
    rows = -(-len(pictures) // 4)
    figure = Figure(figsize=(10, 2.75 * rows + 0.5), layout="constrained")
    for i, axes in enumerate(figure.subplots(rows, 4, squeeze=False).flat):
        axes.set_axis_off()
        if i < len(pictures):
            axes.imshow(pictures[i])
            axes.set_title(titles[i], fontsize=10)
    figure.suptitle(scale)
    return figure
