"""An autoencoder around the classifier's own encoder."""

from pathlib import Path

import numpy as np
from torch import Tensor, nn

from chestflow.data.arrays import blocks
from chestflow.models import checkpoint
from chestflow.models.cnn import Encoder, local_contrast
from chestflow.models.inference import in_batches

LOCAL_SPAN = 3.0  # of local contrast: hardly any pixel lies beyond


class UpBlock(nn.Sequential):
    """A ConvBlock mirrored: up-sampling to a given side, dropout, then two 3 x 3 convolutions, of
    which the second lowers the number of channels. Batch norm and leaky ReLU follow each, except
    the one that outputs the image."""

    def __init__(self, channels_in: int, channels_out: int, side: int, dropout: float) -> None:
        super().__init__(nn.Upsample(size=side, mode="bilinear"), nn.Dropout(dropout))
        self.extend(_convolution(channels_in, channels_in))
        if channels_out == 1:
            self.append(nn.Conv2d(channels_in, 1, 3, padding=1))
        else:
            self.extend(_convolution(channels_in, channels_out))


def _convolution(channels_in: int, channels_out: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(channels_out), nn.LeakyReLU(inplace=True)]


class Autoencoder(nn.Module):
    """Image -> encoder -> code of `code` numbers -> mirrored decoder -> image.

    The encoder is the classifier's: same class, same keys, so that weights carry over by name; it
    sees images of the same contrast, which are also what is reconstructed.
    (N, 1, side, side) images in [-1, 1] -> the same, or of local contrast, about [-3, 3].
    """

    def __init__(
        self, width: int, blocks: int, contrast: str, side: int, code: int, dropout: float
    ) -> None:
        super().__init__()
        self.code, self.contrast = code, contrast
        self.encoder = Encoder(width, blocks)
        sides = [side // 2**i for i in reversed(range(blocks + 1))]
        channels = [*(width * 2**i for i in reversed(range(blocks))), 1]
        shape = (channels[0], sides[0], sides[0])
        self.squeeze = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), code))
        self.expand = nn.Sequential(
            nn.Linear(code, int(np.prod(shape))), nn.LeakyReLU(), nn.Unflatten(1, shape)
        )
        self.decoder = nn.Sequential(
            *(UpBlock(*step, dropout) for step in zip(channels[:-1], channels[1:], sides[1:]))
        )

    def contrasted(self, images: Tensor) -> Tensor:
        """What is to be reconstructed of the images."""
        return local_contrast(images) if self.contrast == "local" else images

    def rebuild(self, contrasted: Tensor) -> Tensor:
        """The reconstructions of images of the encoder's contrast."""
        return self.decoder(self.expand(self.squeeze(self.encoder(contrasted))))

    def forward(self, images: Tensor) -> Tensor:
        return self.rebuild(self.contrasted(images))

    @property
    def span(self) -> float:
        """Half the range that `to_unit` maps to 0 to 1."""
        return LOCAL_SPAN if self.contrast == "local" else 1.0


def load(folder: Path, side: int) -> Autoencoder:
    """The trained autoencoder that `pretrain` saved, in evaluation mode; side: of its images, in
    pixels. Raises UserError for another network, or one of images of another side."""

    def build(about: dict, weights: dict[str, Tensor]) -> Autoencoder:
        code = len(weights["squeeze.1.weight"])
        return Autoencoder(**about["architecture"], side=side, code=code, dropout=0.0)

    return checkpoint.load(folder, build)


def original(model: Autoencoder, images: Tensor) -> np.ndarray:
    """(N, H, W) uint8 images -> what the model is to reconstruct, from 0 to 1."""
    return _to_unit(model, in_batches(model.contrasted, images))


def reconstruct(model: Autoencoder, images: Tensor) -> np.ndarray:
    """(N, H, W) uint8 images -> their reconstructions, from 0 to 1."""
    model.eval()
    return _to_unit(model, in_batches(model, images))


def _to_unit(model: Autoencoder, values: Tensor) -> np.ndarray:
    """(N, 1, H, W) in [-span, span] -> (N, H, W) from 0 to 1, the rest cut off."""
    return values[:, 0].div(2 * model.span).add(0.5).clamp(0, 1).cpu().numpy()


def mean_squared_error(model: Autoencoder, images: Tensor) -> float:
    """Of the reconstructions of (N, H, W) uint8 images, on a scale of 0 to 1."""
    parts = [images[part] for part in blocks(images)]
    errors = [np.mean((reconstruct(model, part) - original(model, part)) ** 2) for part in parts]
    return float(np.average(errors, weights=[len(part) for part in parts]))
