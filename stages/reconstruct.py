"""Stage: compare the autoencoder's reconstructions with two baselines without a network."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from chestflow.core import tables
from chestflow.images import arrays, captions
from chestflow.measures import fidelity, resampling
from chestflow.network import autoencoder, device
from chestflow.parameters import reading, stage
from chestflow.parameters.schema import Evaluation

BASELINE_PIXELS = 1 << 26  # 85,598 images of 28 x 28 pixels, 1,337 of 224 x 224: what PCA can hold
EXAMPLES = 10


def reconstruct(
    dataset: str,
    datasets: Path,
    images: Path,
    trained: Path,
    metrics: Path,
    examples: Path,
    *,
    seed: int,
    threads: int,
    evaluation: Evaluation,
) -> None:
    declared, here = reading.dataset(datasets, dataset), device.prepare(threads, seed)
    about = captions.of_folder(images, declared.title, declared.positive)
    splits = {
        name: torch.from_numpy(arrays.read(images, name).images).to(here) for name in arrays.SPLITS
    }
    network = autoencoder.load(trained, splits["train"].shape[-1]).to(here)
    known = autoencoder.unit(some(splits["train"], seed))
    code = network.code
    rebuild = Rebuilder(network, fidelity.baselines(known, code))
    scores = {
        name: fidelities(rebuild, splits[name], evaluation.bootstrap, seed)
        for name in ("val", "test")
    }
    tables.write_json(metrics, {**about.record(), "code": code, **scores})
    shown = np.random.default_rng(seed).permutation(len(splits["test"]))[:EXAMPLES]
    original, rebuilt = rebuild(splits["test"][shown])
    examples.parent.mkdir(parents=True, exist_ok=True)
    kept = {"image": original, **{k: np.ascontiguousarray(v) for k, v in rebuilt.items()}}
    examples.write_bytes(save(kept))
    psnr = ", ".join(f"{name} {value:.1f} dB" for name, value in scores["test"]["psnr"].items())
    print(f"reconstruct: PSNR on test: {psnr}, {about.caption}")


def some(train: torch.Tensor, seed: int) -> torch.Tensor:
    """The images on which the baselines are fitted: all, or as many, drawn by seed, as PCA can
    hold in memory."""
    n = BASELINE_PIXELS // train[0].numel()
    order = np.random.default_rng(seed).permutation(len(train))
    return train if n >= len(train) else train[np.sort(order[:n])]


@dataclass(frozen=True)
class Rebuilder:
    """(N, H, W) uint8 images -> the images from 0 to 1, and, by method, as the autoencoder and as
    the baselines give them back."""

    network: autoencoder.Autoencoder
    baselines: Callable[[np.ndarray], dict[str, np.ndarray]]

    def __call__(self, images: torch.Tensor) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        wanted, own = autoencoder.unit(images), autoencoder.reconstruct(self.network, images)
        return wanted, {"autoencoder": own, **self.baselines(wanted)}


def fidelities(rebuild: Rebuilder, images: torch.Tensor, resamples: int, seed: int) -> dict:
    """By measure (mse, psnr in dB, ssim) and by method: the mean over the images; and under `ci95`
    their 95 % bootstrap intervals."""
    values = defaultdict(list)
    for block in arrays.blocks(images):
        wanted, rebuilt = rebuild(images[block])
        for method, given_back in rebuilt.items():
            for measure, found in fidelity.fidelity(wanted, given_back).items():
                values[measure, method].append(found)
    counts = resampling.counts(len(images), resamples, seed)
    scores: dict = {"n": len(images), "ci95": {}}
    for (measure, method), parts in values.items():
        found = np.concatenate(parts)
        scores.setdefault(measure, {})[method] = float(found.mean())
        interval = resampling.interval(counts @ found / len(found))
        scores["ci95"].setdefault(measure, {})[method] = interval
    return scores


if __name__ == "__main__":
    stage.run(reconstruct)
