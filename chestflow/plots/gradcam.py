"""GradCAM and LayerCAM maps over test images."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.data.arrays import Split
from chestflow.data.captions import About
from chestflow.formatting import counted
from chestflow.plots.style import CLASS_COLOURS, OUTLINE

COLORMAP = "inferno"  # its brightness rises evenly: readable in grey print


def gradcam(
    split: Split,
    probability: np.ndarray,
    maps: np.ndarray,
    about: About,
    run: str,
    trainings: int,
    layer: str,
) -> Figure:
    """One column per image: the image (on phantoms with the outline of the true finding), and below
    it, drawn over the image, where GradCAM finds evidence for each class, and LayerCAM for disease.

    probability: (N,) of disease; maps: (3, N, H, W) from 0 to 1, means over the trainings as the
    probabilities are; layer: of GradCAM, as in params.yaml.
    """
    n = len(split)
    figure = Figure(figsize=(max(1.1 * n + 1.6, 9), 6.2), layout="constrained")
    axes = figure.subplots(4, n, squeeze=False)
    for i, (top, *below) in enumerate(axes.T):
        wrong = (probability[i] >= 0.5) != split.labels[i]
        title = f"{about.classes[split.labels[i]]}\np = {probability[i]:.2f}\n"
        mark, colour = ("ERROR", CLASS_COLOURS[1]) if wrong else ("", "black")
        top.set_title(title + mark, fontsize=10, color=colour)
        for cell in (top, *below):
            cell.imshow(split.images[i], cmap="gray", vmin=0, vmax=255)
            cell.set(xticks=(), yticks=())
        if split.masks is not None and split.masks[i].any():
            top.contour(split.masks[i], levels=[0.5], colors=OUTLINE, linewidths=1.5)
        for cell, overlay in zip(below, maps[:, i]):
            last = cell.imshow(overlay, cmap=COLORMAP, alpha=0.5, vmin=0, vmax=1)
    outline = "\n(blue: true finding)" if split.masks is not None else ""
    methods = [("GradCAM", about.classes[0]), ("GradCAM", about.classes[1])]
    methods += [("LayerCAM", about.classes[1])]
    names = [f"image{outline}", *(f"{method}:\n{name}" for method, name in methods)]
    for cell, name in zip(axes[:, 0], names):
        cell.set_ylabel(name)
    bar = figure.colorbar(last, ax=axes, shrink=0.6, pad=0.01)  # one for all rows: they align
    bar.set_label("evidence, 0 to 1")
    where = "the last convolution" if layer == "last" else f"convolution {layer}"
    figure.suptitle(
        f"{run}: mean maps of {counted(trainings)}, GradCAM at {where}\n{n} test"
        f" images of {about.caption}: true class and probability of {about.classes[1]}"
    )
    return figure
