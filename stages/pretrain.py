"""Stage: train the autoencoder on films without labels, and compare it with its yardsticks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from stages.lib import autoencoder, command, data, figures, model, resampling, runtime, tables
from stages.lib.parameters import Params


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
    model.save(weights, network, {"data": about.caption(), **shape})
    rebuilt, scores = {}, {}
    for name in ("val", "test"):
        rebuilt[name] = reconstructions(network, splits["train"], splits[name], settings.code)
        scores[name] = fidelities(autoencoder.unit(splits[name]), rebuilt[name], params)
    tables.write_json(metrics, {"data": about.caption(), "code": settings.code, **scores})
    shown = np.random.default_rng(params.seed).permutation(len(splits["test"]))[:10]
    original = autoencoder.unit(splits["test"])[shown]
    columns = {name: r[shown] for name, r in rebuilt["test"].items()}
    figures.save(figures.reconstructions(original, columns, scores["test"], about), plot)
    print(f"pretrain: test PSNR {scores['test']['psnr']}, {about.caption()}")


def load(films: Path, split: str) -> torch.Tensor:
    return torch.from_numpy(np.array(data.read(films, split).images))


def progress(epochs: Iterator[dict], most: int) -> Iterator[dict]:
    with tqdm(epochs, total=most, desc="pretrain", unit="epoch", mininterval=1) as bar:
        for row in bar:
            bar.set_postfix(val_mse=f"{row['val_mse']:.5f}")
            yield row


def reconstructions(
    network: autoencoder.Autoencoder, train: torch.Tensor, films: torch.Tensor, code: int
) -> dict[str, np.ndarray]:
    """The films as the autoencoder gives them back, and as the yardsticks do."""
    known, wanted = autoencoder.unit(train), autoencoder.unit(films)
    own = autoencoder.reconstruct(network, films)
    return {"autoencoder": own, **autoencoder.yardsticks(known, wanted, code)}


def fidelities(films: np.ndarray, rebuilt: dict[str, np.ndarray], params: Params) -> dict:
    """By measure (mse, psnr in dB, ssim) and by method: the mean over the films; and under `ci95`
    their 95 % bootstrap intervals."""
    counts = resampling.counts(len(films), params.evaluation.bootstrap, params.seed)
    scores = {"n": len(films), "ci95": {}}
    for method, films_back in rebuilt.items():
        for measure, values in autoencoder.fidelity(films, films_back).items():
            scores.setdefault(measure, {})[method] = float(values.mean())
            interval = resampling.interval(counts @ values / len(values))
            scores["ci95"].setdefault(measure, {})[method] = interval
    return scores


if __name__ == "__main__":
    command.run(pretrain)
