"""How faithful reconstructions are, and what the two baselines reach: the mean image and PCA."""

from collections.abc import Callable

import numpy as np
from skimage.metrics import structural_similarity
from sklearn.decomposition import PCA

from chestflow.metrics import comparison, intervals


def baselines(train: np.ndarray, code: int) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Reconstructions without a network: the mean training image, and PCA with a code of the same
    length, fitted on the training images. Returns a function of images; (N, H, W)
    in and out, from 0 to 1."""
    flat, mean = train.reshape(len(train), -1), train.mean(axis=0)
    pca = PCA(min(code, *flat.shape), svd_solver="full").fit(flat)

    def rebuild(images: np.ndarray) -> dict[str, np.ndarray]:
        projected = pca.inverse_transform(pca.transform(images.reshape(len(images), -1))).clip(0, 1)
        return {
            "mean_image": np.broadcast_to(mean, images.shape),
            "pca": projected.reshape(images.shape).astype(np.float32),
        }

    return rebuild


def fidelity(images: np.ndarray, reconstructions: np.ndarray) -> dict[str, np.ndarray]:
    """Mean squared error, peak signal-to-noise ratio (dB) and structural similarity (Wang et al.
    2004) of each image, (K, N), for (N, H, W) images and their (K, N, H, W) reconstructions, from
    0 to 1."""
    mse = ((images - reconstructions) ** 2).mean(axis=(2, 3), dtype=float)
    ssim = [
        [structural_similarity(one, other, data_range=1.0) for one, other in zip(images, each)]
        for each in np.asarray(reconstructions, images.dtype)
    ]
    return {
        "mse": mse,
        "psnr": -10 * np.log10(np.maximum(mse, 1e-10)),
        "ssim": np.array(ssim, float),
    }


def report(values: dict[str, dict[str, np.ndarray]]) -> dict:
    """The mean over trainings and images by measure and method; `ci95`: its 95 % interval;
    `difference`: the autoencoder's mean minus each baseline's.

    values: by method and measure, of each image, (K, N) of K autoencoders, (1, N) of a baseline.
    """
    shape = values["autoencoder"]["mse"].shape
    scores: dict = {"n": shape[1], "ci95": {}, "difference": {}}
    for measure in values["autoencoder"]:
        measured = {
            method: intervals.mean(np.broadcast_to(of_method[measure], shape))
            for method, of_method in values.items()
        }
        own = measured["autoencoder"]
        estimates = {method: intervals.estimate(m, bounded=False) for method, m in measured.items()}
        scores[measure] = {method: e["value"] for method, e in estimates.items()}
        scores["ci95"][measure] = {method: e["ci95"] for method, e in estimates.items()}
        scores["difference"][measure] = {
            method: comparison.paired_difference(own, m)
            for method, m in measured.items()
            if method != "autoencoder"
        }
    return scores
