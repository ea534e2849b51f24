"""Stage: train the autoencoder on films without labels, and compare it with its yardsticks."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from stages.lib import autoencoder, command, data, figures, model, resampling, runtime, tables
from stages.lib.parameters import Params

YARDSTICK_PIXELS = 1 << 26  # 85,598 films of 28 x 28 pixels, 1,337 of 224 x 224


def pretrain(
    params: Params, films: Path, weights: Path, history: Path, metrics: Path, plot: Path
) -> None:
    settings, shared = params.autoencoder, params.defaults
    device, about = runtime.prepare(params.threads, params.seed), data.read_about(films)
    splits = {name: load(films, name).to(device) for name in data.SPLITS}
    side = splits["train"].shape[-1]
    model.check_side(shared.blocks, side)
    network = autoencoder.Autoencoder(
        shared.width, shared.blocks, side, settings.code, settings.dropout
    ).to(device)
    epochs = autoencoder.fit(network, splits["train"], splits["val"], settings, params.seed)
    tables.write_csv(history, progress(epochs, settings.epochs))
    shape = shared.model_dump(include={"width", "blocks"})
    model.save(weights, network, {"data": about.caption(), "architecture": shape})
    known = autoencoder.unit(some(splits["train"], params.seed))
    rebuild = Rebuilder(network, autoencoder.yardsticks(known, settings.code))
    scores = {name: fidelities(rebuild, splits[name], params) for name in ("val", "test")}
    tables.write_json(metrics, {"data": about.caption(), "code": settings.code, **scores})
    shown = np.random.default_rng(params.seed).permutation(len(splits["test"]))[:10]
    original, rebuilt = rebuild(splits["test"][shown])
    figures.save(figures.reconstructions(original, rebuilt, scores["test"], about), plot)
    print(f"pretrain: test PSNR {scores['test']['psnr']}, {about.caption()}")


def load(films: Path, split: str) -> torch.Tensor:
    return torch.from_numpy(data.read(films, split).images)


def some(train: torch.Tensor, seed: int) -> torch.Tensor:
    """The films on which the yardsticks are fitted: all, or as many, drawn by seed, as PCA can
    hold in memory."""
    n = YARDSTICK_PIXELS // train[0].numel()
    order = np.random.default_rng(seed).permutation(len(train))
    return train if n >= len(train) else train[np.sort(order[:n])]


def progress(epochs: Iterator[dict], most: int) -> Iterator[dict]:
    with tqdm(epochs, total=most, desc="pretrain", unit="epoch", mininterval=1) as bar:
        for row in bar:
            bar.set_postfix(val_mse=f"{row['val_mse']:.5f}")
            yield row


@dataclass(frozen=True)
class Rebuilder:
    """(N, H, W) uint8 films -> the films from 0 to 1, and, by method, as the autoencoder and as the
    yardsticks give them back."""

    network: autoencoder.Autoencoder
    yardsticks: Callable[[np.ndarray], dict[str, np.ndarray]]

    def __call__(self, films: torch.Tensor) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        wanted, own = autoencoder.unit(films), autoencoder.reconstruct(self.network, films)
        return wanted, {"autoencoder": own, **self.yardsticks(wanted)}


def fidelities(rebuild: Rebuilder, films: torch.Tensor, params: Params) -> dict:
    """By measure (mse, psnr in dB, ssim) and by method: the mean over the films; and under `ci95`
    their 95 % bootstrap intervals."""
    values = defaultdict(list)
    for block in data.blocks(films):
        wanted, rebuilt = rebuild(films[block])
        for method, films_back in rebuilt.items():
            for measure, found in autoencoder.fidelity(wanted, films_back).items():
                values[measure, method].append(found)
    counts = resampling.counts(len(films), params.evaluation.bootstrap, params.seed)
    scores = {"n": len(films), "ci95": {}}
    for (measure, method), parts in values.items():
        found = np.concatenate(parts)
        scores.setdefault(measure, {})[method] = float(found.mean())
        interval = resampling.interval(counts @ found / len(found))
        scores["ci95"].setdefault(measure, {})[method] = interval
    return scores


if __name__ == "__main__":
    command.run(pretrain)
