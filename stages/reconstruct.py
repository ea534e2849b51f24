"""Stage: score the autoencoder's reconstructions, and compare them with PCA and the mean image."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from chestflow import files, history, stage
from chestflow.data import arrays, captions
from chestflow.metrics import reconstruction
from chestflow.models import autoencoder, checkpoint, device
from chestflow.models.autoencoder import Autoencoder

BASELINE_PIXELS = 1 << 26  # 85,598 images of 28 x 28 pixels, 1,337 of 224 x 224: what PCA can hold
EXAMPLES = 10

Baselines = Callable[[np.ndarray], dict[str, np.ndarray]]


def reconstruct(
    about: Path,
    images: Path,
    trained: Path,
    metrics: Path,
    details: Path,
    examples: Path,
    *,
    seed: int,
    threads: int,
) -> None:
    here, data = device.prepare(threads, seed), captions.of_report(files.read_json(about))
    train, test = (
        torch.from_numpy(arrays.read(images, split).images).to(here) for split in ("train", "test")
    )
    errors = history.kept(files.read_csv(trained / "history.csv"), "val_mse")
    representative, side = history.representative(errors), train.shape[-1]
    networks = [autoencoder.load(one, side).to(here) for one in checkpoint.trainings(trained)]
    known = autoencoder.original(networks[0], some(train, seed))
    baselines = reconstruction.baselines(known, networks[0].code)
    scores = reconstruction.report(fidelities(networks, baselines, test))
    record = {"code": networks[0].code, "contrast": networks[0].contrast}
    record["trainings"] = len(networks)
    files.write_json(details, {**data.record(), **record, "test": scores})
    psnr = {method: scores["psnr"][method] for method in ("autoencoder", "pca")}
    files.write_json(metrics, {"data": data.caption, "psnr": psnr})
    drawn = test[np.random.default_rng(seed).permutation(len(test))[:EXAMPLES]]
    image, rebuilt = reconstructions([networks[representative]], baselines, drawn)
    kept = {"image": image} | {method: one for method, (one,) in rebuilt.items()}
    examples.parent.mkdir(parents=True, exist_ok=True)
    # In 8 bits: the last digits of a PCA depend on the processor.
    examples.write_bytes(save({k: np.rint(255 * v).astype(np.uint8) for k, v in kept.items()}))
    summary = ", ".join(f"{name} {value:.1f} dB" for name, value in psnr.items())
    print(f"reconstruct: mean PSNR on test: {summary}, {data.caption}")


def some(train: torch.Tensor, seed: int) -> torch.Tensor:
    """The images on which the baselines are fitted: all, or a random sample if PCA could not hold
    them in memory."""
    n = BASELINE_PIXELS // train[0].numel()
    order = np.random.default_rng(seed).permutation(len(train))
    return train if n >= len(train) else train[np.sort(order[:n])]


def reconstructions(
    networks: list[Autoencoder], baselines: Baselines, images: torch.Tensor
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(N, H, W) uint8 images -> what is to be reconstructed, from 0 to 1, and by method its
    reconstructions: (K, N, H, W) of K autoencoders, (1, N, H, W) of a baseline."""
    wanted = autoencoder.original(networks[0], images)
    own = np.stack([autoencoder.reconstruct(network, images) for network in networks])
    return wanted, {"autoencoder": own} | {k: one[None] for k, one in baselines(wanted).items()}


def fidelities(
    networks: list[Autoencoder], baselines: Baselines, images: torch.Tensor
) -> dict[str, dict[str, np.ndarray]]:
    """By method and measure, of each image: (K, N), of a baseline (1, N)."""
    parts = defaultdict(list)
    for block in arrays.blocks(images):
        wanted, rebuilt = reconstructions(networks, baselines, images[block])
        for method, each in rebuilt.items():
            parts[method].append(reconstruction.fidelity(wanted, each))
    return {
        method: {measure: np.hstack([one[measure] for one in each]) for measure in each[0]}
        for method, each in parts.items()
    }


if __name__ == "__main__":
    stage.run(reconstruct)
