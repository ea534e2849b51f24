"""What the autoencoder and its baselines give back."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.data.captions import About


def reconstructions(
    images: np.ndarray, rebuilt: dict[str, np.ndarray], scores: dict, about: About
) -> Figure:
    """One column per image: the image, and by method its reconstruction and the error there."""
    n = len(images)
    titles = {"autoencoder": "autoencoder", "pca": "PCA, same code", "mean_image": "mean image"}
    figure = Figure(figsize=(n + 2.2, 8), layout="constrained")
    axes = figure.subplots(1 + 2 * len(rebuilt), n, squeeze=False)
    for row in axes.flat:
        row.set_xticks(())
        row.set_yticks(())
    for i in range(n):
        axes[0, i].imshow(images[i], cmap="gray", vmin=0, vmax=1)
        for k, method in enumerate(titles):
            axes[1 + 2 * k, i].imshow(rebuilt[method][i], cmap="gray", vmin=0, vmax=1)
            error = rebuilt[method][i] - images[i]
            last = axes[2 + 2 * k, i].imshow(error, cmap="RdBu", vmin=-0.3, vmax=0.3)
    labels = ["image"]
    for method, title in titles.items():
        labels += [f"{title}\n{scores['psnr'][method]:.1f} dB", "its error"]
    for row, label in zip(axes[:, 0], labels):
        row.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=11)
    bar = figure.colorbar(last, ax=axes, shrink=0.4, pad=0.01)
    bar.set_label("reconstruction - image (images from 0 to 1)")
    figure.suptitle(
        f"Reconstructions of {n} test images of {about.caption};"
        f" PSNR: mean over n = {scores['n']:,} test images"
    )
    return figure
