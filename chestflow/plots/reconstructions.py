"""What the autoencoder and its baselines give back."""

import numpy as np
from matplotlib.figure import Figure

from chestflow.data.captions import About

METHODS = {"autoencoder": "autoencoder", "pca": "PCA, same code", "mean_image": "mean image"}


def reconstructions(
    images: np.ndarray, rebuilt: dict[str, np.ndarray], scores: dict, about: About
) -> Figure:
    """One column per image: the image, and by method its reconstruction and the error there.

    images, rebuilt: (N, H, W) uint8; scores: the test part of data/autoencoder.json.
    """
    n = len(images)
    figure = Figure(figsize=(n + 2.2, 8), layout="constrained")
    axes = figure.subplots(1 + 2 * len(METHODS), n, squeeze=False)
    for cell in axes.flat:
        cell.set(xticks=(), yticks=())
    for cell, image in zip(axes[0], images):
        cell.imshow(image, cmap="gray", vmin=0, vmax=255)
    labels = ["image"]
    for k, (method, title) in enumerate(METHODS.items()):
        errors = (rebuilt[method].astype(float) - images) / 255
        for above, below, image, error in zip(*axes[1 + 2 * k :][:2], rebuilt[method], errors):
            above.imshow(image, cmap="gray", vmin=0, vmax=255)
            last = below.imshow(error, cmap="RdBu", vmin=-0.3, vmax=0.3)
        labels += [f"{title}\n{scores['psnr'][method]:.1f} dB", "its error"]
    for cell, label in zip(axes[:, 0], labels):
        cell.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=11)
    bar = figure.colorbar(last, ax=axes, shrink=0.4, pad=0.01)
    bar.set_label("reconstruction - image (images from 0 to 1)")
    figure.suptitle(
        f"Reconstructions of {n} test images of {about.caption};"
        f" PSNR: mean over n = {scores['n']:,} test images"
    )
    return figure
