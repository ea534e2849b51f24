"""The network: a small convolutional encoder and its classifier."""

import torch
from torch import Tensor, nn

WINDOW = 11 / 28  # of the side length: 11 pixels at 28
EPSILON = 0.1  # added to the local deviation, in units of [-1, 1], so that noise is not blown up


class ConvBlock(nn.Sequential):
    """(3 x 3 convolution, batch norm, leaky ReLU) twice, and 2 x 2 max pooling, which is computed
    before the second ReLU: both keep the order of values, so that the result is the same, and the
    ReLU has a quarter of the work.

    The first convolution raises the number of channels, the second keeps it. They have no bias,
    because batch norm would subtract it again. (N, C, H, W) -> (N, C', H // 2, W // 2).
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        for i, channels in enumerate((channels_in, channels_out), start=1):
            self.add_module(f"conv{i}", nn.Conv2d(channels, channels_out, 3, padding=1, bias=False))
            self.add_module(f"norm{i}", nn.BatchNorm2d(channels_out))
            if i == 2:
                self.pool = nn.MaxPool2d(2)
            self.add_module(f"relu{i}", nn.LeakyReLU(inplace=True))

    def extra_repr(self) -> str:  # what `print(model)` says of the unusual order
        return "max pooling before the second ReLU: the same result as after it, but faster"


class Encoder(nn.Sequential):
    """The convolutional part, shared by the classifier and the autoencoder: `blocks` ConvBlocks of
    width, 2 width, 4 width ... channels.

    (N, 1, H, W) -> (N, channels, H // 2^blocks, W // 2^blocks).
    """

    def __init__(self, width: int = 8, blocks: int = 3) -> None:
        widths = [1, *(width * 2**i for i in range(blocks))]
        super().__init__(*map(ConvBlock, widths[:-1], widths[1:]))
        self.channels = widths[-1]


class Classifier(nn.Module):
    """Encoder, average pooling to one vector per image, and a linear head: 18,218 trainable
    parameters with the default arguments.

    (N, 1, H, W) standardised images -> (N, 2) logits: healthy, diseased.
    contrast: global (images as they are) | local (through `local_contrast`).
    """

    def __init__(
        self, width: int = 8, blocks: int = 3, dropout: float = 0.0, contrast: str = "global"
    ) -> None:
        super().__init__()
        self.contrast = contrast
        self.encoder = Encoder(width, blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.encoder.channels, 2)

    def contrasted(self, images: Tensor) -> Tensor:
        """What the first convolution sees of the images."""
        return local_contrast(images) if self.contrast == "local" else images

    def embed(self, images: Tensor) -> Tensor:
        """The latent vectors, (N, channels), that the head sees."""
        return self.pool(self.encoder(self.contrasted(images))).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(self.embed(images)))


def local_contrast(images: Tensor) -> Tensor:
    """Subtract the mean of the window around each pixel, divide by the window's standard deviation
    (Jarrett et al. 2009, sec. 2.1): removes exposure and slow gradients. No parameters.

    (N, 1, H, H) images in [-1, 1] -> the same shape, about [-3, 3].
    """
    place = torch.arange(images.shape[-1], device=images.device)
    near = ((place[:, None] - place).abs() <= WINDOW * len(place) / 2).to(images.dtype)
    mean_of = near / near.sum(dim=1, keepdim=True)  # at the border the window is cut off
    detail = images - mean_of @ images @ mean_of.T
    return detail / ((mean_of @ detail.square() @ mean_of.T).sqrt() + EPSILON)


def n_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
