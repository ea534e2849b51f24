"""An autoencoder around the classifier's own encoder, its training, and its two yardsticks."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from skimage.metrics import structural_similarity
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn import functional as F

from stages.lib.data import blocks
from stages.lib.errors import UserError
from stages.lib.model import Encoder, in_batches, read, standardise
from stages.lib.training import EarlyStopping, batches


class UpBlock(nn.Sequential):
    """A ConvBlock mirrored: up-sampling to a given side, dropout, then two 3 x 3
    convolutions, of which the second lowers the number of maps; batch norm and leaky ReLU after
    each, but not after the one that draws the film."""

    def __init__(self, maps_in: int, maps_out: int, side: int, dropout: float) -> None:
        super().__init__(nn.Upsample(size=side, mode="bilinear"), nn.Dropout(dropout))
        self.extend(_convolution(maps_in, maps_in))
        is_film = maps_out == 1
        last = [nn.Conv2d(maps_in, 1, 3, padding=1)] if is_film else _convolution(maps_in, maps_out)
        self.extend(last)


def _convolution(maps_in: int, maps_out: int) -> list[nn.Module]:
    conv = nn.Conv2d(maps_in, maps_out, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(maps_out), nn.LeakyReLU(inplace=True)]


class Autoencoder(nn.Module):
    """Film -> encoder -> code of `code` numbers -> mirrored decoder -> film.

    The encoder is the classifier's: same class, same keys, so that weights carry over by name.
    (N, 1, side, side) films in [-1, 1] -> the same.
    """

    def __init__(self, width: int, blocks: int, side: int, code: int, dropout: float) -> None:
        super().__init__()
        self.encoder = Encoder(width, blocks)
        sides = [side // 2**i for i in reversed(range(blocks + 1))]
        maps = [*(width * 2**i for i in reversed(range(blocks))), 1]
        shape = (maps[0], sides[0], sides[0])
        self.squeeze = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), code))
        self.expand = nn.Sequential(
            nn.Linear(code, int(np.prod(shape))), nn.LeakyReLU(), nn.Unflatten(1, shape)
        )
        self.decoder = nn.Sequential(
            *(UpBlock(*step, dropout) for step in zip(maps[:-1], maps[1:], sides[1:]))
        )

    def forward(self, films: Tensor) -> Tensor:
        return self.decoder(self.expand(self.squeeze(self.encoder(films))))


def fit(model: Autoencoder, train: Tensor, val: Tensor, settings, seed: int) -> Iterator[dict]:
    """Train without labels, yielding a row after each epoch; once exhausted, the model holds the
    weights with the lowest validation error.

    train, val: (N, H, W) uint8 on the model's device; settings: `parameters.Autoencoder`.
    A row: epoch, train_mse, val_mse (of films from 0 to 1), and improved.
    """
    model.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), weight_decay=settings.weight_decay, fused=True
    )
    steps = settings.epochs * len(list(batches(len(train), settings.batch_size, generator)))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.lr, total_steps=steps)
    stopping = EarlyStopping(model, settings.patience, min_delta=0.0)
    for epoch in range(1, settings.epochs + 1):
        model.train()
        total = 0.0
        for index in batches(len(train), settings.batch_size, generator):
            films = standardise(train[index]).contiguous(memory_format=torch.channels_last)
            loss = F.mse_loss(model(films), films)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            scheduler.step()
            total += loss.detach() * len(index) / 4  # of [-1, 1] -> of [0, 1]
        val_mse = mean_squared_error(model, val)
        improved = stopping.update(-val_mse)
        row = {"epoch": epoch, "train_mse": float(total) / len(train), "val_mse": val_mse}
        yield row | {"improved": int(improved)}
        if stopping.stop:
            break
    stopping.restore()


def load(path: Path, side: int) -> Autoencoder:
    """The trained autoencoder that `pretrain` saved, in evaluation mode; side: of its films, in
    pixels. Raises UserError if it was trained on films that its code does not fit."""
    weights, about = read(path)
    code, flat = weights["squeeze.1.weight"].shape
    model = Autoencoder(**about["architecture"], side=side, code=code, dropout=0.0)
    if model.squeeze[1].in_features != flat:
        raise UserError(f"{path} was trained on films of another side than {side} pixels")
    model.load_state_dict(weights)
    return model.eval()


def unit(images: Tensor) -> np.ndarray:
    """(N, H, W) uint8 -> floats from 0 to 1."""
    return images.cpu().numpy() / np.float32(255)


def reconstruct(model: Autoencoder, images: Tensor) -> np.ndarray:
    """(N, H, W) uint8 images -> their reconstructions, from 0 to 1."""
    model.eval()
    films = in_batches(model, images)[:, 0]
    return films.add(1).div(2).clamp(0, 1).cpu().numpy()


def mean_squared_error(model: Autoencoder, images: Tensor) -> float:
    """Of the reconstructions of (N, H, W) uint8 images, on a scale of 0 to 1."""
    parts = [images[part] for part in blocks(images)]
    errors = [np.mean((reconstruct(model, part) - unit(part)) ** 2) for part in parts]
    return float(np.average(errors, weights=[len(part) for part in parts]))


def yardsticks(train: np.ndarray, code: int) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """What reconstructions without a network look like: the mean training film, and PCA with a
    code of the same length, fitted on the training films. Returns a function of films; (N, H, W)
    in and out, from 0 to 1."""
    flat, mean = train.reshape(len(train), -1), train.mean(axis=0)
    pca = PCA(min(code, *flat.shape), svd_solver="full").fit(flat)

    def rebuild(films: np.ndarray) -> dict[str, np.ndarray]:
        projected = pca.inverse_transform(pca.transform(films.reshape(len(films), -1))).clip(0, 1)
        return {
            "mean_film": np.broadcast_to(mean, films.shape),
            "pca": projected.reshape(films.shape).astype(np.float32),
        }

    return rebuild


def fidelity(films: np.ndarray, reconstructions: np.ndarray) -> dict[str, np.ndarray]:
    """Each film's mean squared error, peak signal-to-noise ratio (dB) and structural similarity
    (Wang et al. 2004): (N,) each, for (N, H, W) films from 0 to 1."""
    mse = ((films - reconstructions) ** 2).mean(axis=(1, 2))
    pairs = zip(films, np.asarray(reconstructions, films.dtype))
    return {
        "mse": mse,
        "psnr": -10 * np.log10(np.maximum(mse, 1e-10)),
        "ssim": np.array([structural_similarity(a, b, data_range=1.0) for a, b in pairs]),
    }
