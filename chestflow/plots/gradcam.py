"""GradCAM and LayerCAM maps over test images."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.data.captions import About
from chestflow.formatting import counted
from chestflow.plots.style import CLASS_COLOURS, OUTLINE

COLORMAP = "inferno"  # its brightness rises evenly: readable in grey print


def gradcam(
    examples: dict[str, np.ndarray], about: About, run: str, trainings: int, layer: str
) -> Figure:
    """One column per image: the image (of phantoms with the outline of the true finding), and over
    it, in the rows below, where GradCAM finds evidence for each class, and LayerCAM for disease.

    examples: images (N, H, W) uint8, labels (N,), masks (N, H, W) of phantoms, probability (N,) of
    disease, maps (3, N, H, W) from 0 to 1, means over the trainings as the probabilities are;
    layer: of GradCAM, as in params.yaml.
    """
    images, masks, n = examples["images"], examples.get("masks"), len(examples["images"])
    figure = Figure(figsize=(max(1.1 * n + 1.6, 9), 6.2))
    axes = figure.subplots(4, n, squeeze=False)
    for i, (top, *below) in enumerate(axes.T):
        label, p = examples["labels"][i], examples["probability"][i]
        mark, colour = ("ERROR", CLASS_COLOURS[1]) if (p >= 0.5) != label else ("", "black")
        top.set_title(f"{about.classes[label]}\np = {p:.2f}\n{mark}", fontsize=10, color=colour)
        for cell in (top, *below):
            cell.imshow(images[i], cmap="gray", vmin=0, vmax=255)
            cell.set(xticks=(), yticks=())
        if masks is not None and masks[i].any():
            top.contour(masks[i], levels=[0.5], colors=OUTLINE, linewidths=1.5)
        for cell, overlay in zip(below, examples["maps"][:, i]):
            last = cell.imshow(overlay, cmap=COLORMAP, alpha=0.5, vmin=0, vmax=1)
    healthy, positive = about.classes
    image = "image" if masks is None else "image\n(blue: true finding)"
    maps = (f"GradCAM:\n{healthy}", f"GradCAM:\n{positive}", f"LayerCAM:\n{positive}")
    for cell, name in zip(axes[:, 0], (image, *maps)):
        cell.set_ylabel(name)
    bar = figure.colorbar(last, ax=axes, shrink=0.6, pad=0.01)  # one for all rows: they align
    bar.set_label("evidence, 0 to 1")
    where = "the last convolution" if layer == "last" else f"convolution {layer}"
    figure.suptitle(
        f"{run}: mean maps of {counted(trainings)}, GradCAM at {where}\n{n} test"
        f" images of {about.caption}: true class and probability of {positive}"
    )
    return figure
