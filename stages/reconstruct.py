"""Stage: score the autoencoder's reconstructions, and compare them with PCA and the mean image."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from chestflow import files, history, stage
from chestflow.data import arrays, captions
from chestflow.metrics import comparison, intervals, reconstruction
from chestflow.models import autoencoder, checkpoint, device

BASELINE_PIXELS = 1 << 26  # 85,598 images of 28 x 28 pixels, 1,337 of 224 x 224: what PCA can hold
EXAMPLES = 10


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
    splits = {
        name: torch.from_numpy(arrays.read(images, name).images).to(here) for name in arrays.SPLITS
    }
    errors = history.kept(files.read_csv(trained / "history.csv"), "val_mse")
    representative, side = history.representative(errors), splits["train"].shape[-1]
    folders = [checkpoint.training(trained, k) for k in range(len(errors))]
    networks = [autoencoder.load(folder, side).to(here) for folder in folders]
    code = networks[0].code
    known = autoencoder.original(networks[0], some(splits["train"], seed))
    rebuild = Rebuilder(networks, reconstruction.baselines(known, code))
    scores = {name: fidelities(rebuild, splits[name]) for name in ("val", "test")}
    record = {
        "code": code,
        "contrast": networks[0].contrast,
        "trainings": len(networks),
        "training": representative,
    }
    files.write_json(details, {**data.record(), **record, **scores})
    psnr = {method: scores["test"]["psnr"][method] for method in ("autoencoder", "pca")}
    files.write_json(metrics, {"data": data.caption, "psnr": psnr})
    drawn = np.random.default_rng(seed).permutation(len(splits["test"]))[:EXAMPLES]
    original, rebuilt = rebuild(splits["test"][drawn])
    kept = {"image": original} | {name: each[representative] for name, each in rebuilt.items()}
    examples.parent.mkdir(parents=True, exist_ok=True)
    # In 8 bits: the last digits of a PCA depend on the processor.
    examples.write_bytes(save({k: np.rint(255 * v).astype(np.uint8) for k, v in kept.items()}))
    shown = ", ".join(f"{name} {value:.1f} dB" for name, value in psnr.items())
    print(f"reconstruct: mean PSNR on test: {shown}, {data.caption}")


def some(train: torch.Tensor, seed: int) -> torch.Tensor:
    """The images on which the baselines are fitted: all, or a random sample if PCA could not hold
    them in memory."""
    n = BASELINE_PIXELS // train[0].numel()
    order = np.random.default_rng(seed).permutation(len(train))
    return train if n >= len(train) else train[np.sort(order[:n])]


@dataclass(frozen=True)
class Rebuilder:
    """(N, H, W) uint8 images -> what is to be reconstructed, from 0 to 1, and its reconstructions
    by each method, (K, N, H, W): by K autoencoders, and by the baselines, repeated K times."""

    networks: list[autoencoder.Autoencoder]
    baselines: Callable[[np.ndarray], dict[str, np.ndarray]]

    def __call__(self, images: torch.Tensor) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        wanted = autoencoder.original(self.networks[0], images)
        own = np.stack([autoencoder.reconstruct(network, images) for network in self.networks])
        same = self.baselines(wanted).items()
        return wanted, {"autoencoder": own} | {k: np.broadcast_to(v, own.shape) for k, v in same}


def fidelities(rebuild: Rebuilder, images: torch.Tensor) -> dict:
    """The mean over trainings and images, by measure (mse, psnr in dB, ssim) and method; `ci95`:
    its 95 % interval; `difference`: the autoencoder's mean minus each baseline's."""
    values = defaultdict(list)
    for block in arrays.blocks(images):
        wanted, rebuilt = rebuild(images[block])
        for method, each in rebuilt.items():
            fixed = method != "autoencoder"
            by_training = [
                reconstruction.fidelity(wanted, one) for one in (each[:1] if fixed else each)
            ]
            for measure in by_training[0]:
                rows = np.stack([one[measure] for one in by_training])
                values[measure, method].append(np.broadcast_to(rows, (len(each), len(wanted))))
    scores: dict = {"n": len(images), "ci95": {}, "sd": {}, "difference": {}}
    measured = {key: intervals.mean(np.hstack(parts)) for key, parts in values.items()}
    for (measure, method), score in measured.items():
        estimate = intervals.estimate(score, bounded=False)
        scores.setdefault(measure, {})[method] = estimate["value"]
        for field in ("ci95", "sd"):
            scores[field].setdefault(measure, {})[method] = estimate[field]
        if method != "autoencoder":
            ahead = comparison.paired_difference(measured[measure, "autoencoder"], score)
            scores["difference"].setdefault(measure, {})[method] = ahead
    return scores


if __name__ == "__main__":
    stage.run(reconstruct)
