"""What the autoencoder and its baselines give back."""

import numpy as np
from matplotlib.figure import Figure

METHODS = {"autoencoder": "autoencoder", "pca": "PCA, same code", "mean_image": "mean image"}


def reconstructions(examples: dict[str, np.ndarray], report: dict) -> Figure:
    """One column per image: the image, and by method its reconstruction and the error there.

    examples: `image` and its reconstruction by each of METHODS, (N, H, W) uint8; report: as in
    data/autoencoder.json.
    """
    images, n = examples["image"], len(examples["image"])
    figure = Figure(figsize=(n + 2.2, 8))
    axes = figure.subplots(1 + 2 * len(METHODS), n, squeeze=False)
    labels = ["image"]
    for cell, image in zip(axes[0], images):
        cell.imshow(image, cmap="gray", vmin=0, vmax=255)
    for above, below, (method, name) in zip(axes[1::2], axes[2::2], METHODS.items()):
        labels += [f"{name}\n{report['test']['psnr'][method]:.1f} dB", "its error"]
        for i, rebuilt in enumerate(examples[method]):
            above[i].imshow(rebuilt, cmap="gray", vmin=0, vmax=255)
            error = (rebuilt.astype(float) - images[i]) / 255
            last = below[i].imshow(error, cmap="RdBu", vmin=-0.3, vmax=0.3)
    for cell in axes.flat:
        cell.set(xticks=(), yticks=())
    for cell, label in zip(axes[:, 0], labels):
        cell.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=11)
    bar = figure.colorbar(last, ax=axes, shrink=0.4, pad=0.01)
    bar.set_label("reconstruction - image (images from 0 to 1)")
    figure.suptitle(
        f"Reconstructions of {n} test images of {report['data']};"
        f" PSNR: mean over n = {report['test']['n']:,} test images"
    )
    return figure
