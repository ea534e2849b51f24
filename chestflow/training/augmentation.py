"""Affine and intensity augmentation: images as if the same chest had been taken again.

The ranges follow what differs between two radiographs of one chest; none was tuned on a test score.
To add an augmentation, write its function, name it in `STEPS`, and accept the name in
config/schema.py.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

# A patient stands tilted, off-centre, nearer to or further from the detector. At larger angles, a
# technician would take the image again.
ROTATION = math.radians(10)  # to either side
SCALE = 0.12  # relative, either way
SHIFT = 0.12  # of half the side length, in every direction
# Another archive crops and resizes in another way: wider than any patient moves. Further in than
# out, because zooming out can only repeat the border.
ZOOM_IN, ZOOM_OUT = 0.36, 0.1  # of the magnification's logarithm: factors from 0.9 to 1.43
FRAME = 0.2  # shift, of half the side length, either way
STRETCH = 0.15  # of width against height, relative, either way
# Tube voltage, detector and processing change the grey-level curve.
GAMMA = 0.35  # of the exponent's logarithm: exponents from 0.7 to 1.4
CONTRAST = 0.25  # of the gain's logarithm: gains from 0.78 to 1.28
BRIGHTNESS = 0.15  # in units of [-1, 1]
SHARPNESS = 1.0  # -1 is the blurred image, +1 adds what blurring removes


def augment(images: Tensor, steps: Iterable[str], generator: torch.Generator) -> Tensor:
    """Apply the named `STEPS` in their order, with new random numbers for each image.

    (N, 1, H, W) images in [-1, 1] -> the same shape; values may leave [-1, 1] slightly.
    generator: on the CPU whatever the device, so that a seed means the same everywhere.
    """
    for step in steps:
        images = STEPS[step](images, generator)
    return images


def move(images: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate, scale and shift each image; pixels from outside repeat the border."""
    n = len(images)
    angle = _uniform(n, ROTATION, generator)
    scale = torch.exp(_uniform(n, SCALE, generator))
    x, y = _uniform(n, SHIFT, generator), _uniform(n, SHIFT, generator)
    return _transform(images, angle, scale, scale, x, y)


def reframe(images: Tensor, generator: torch.Generator) -> Tensor:
    """`move` with wider ranges, and stretched, as if others had cropped and resized the image.

    MedMNIST crops the centre of radiographs whose shape depends on the diagnosis, so in training
    the frame gives away what the network should learn from the chest. Random zooms, which do not
    depend on the diagnosis, take that away (docs/experiments.md).
    """
    n = len(images)
    angle = _uniform(n, ROTATION, generator)
    zoom = _uniform(n, (ZOOM_IN + ZOOM_OUT) / 2, generator) + (ZOOM_OUT - ZOOM_IN) / 2
    scale = torch.exp(zoom)
    stretch = torch.exp(_uniform(n, STRETCH / 2, generator))
    x, y = _uniform(n, FRAME, generator), _uniform(n, FRAME, generator)
    return _transform(images, angle, scale * stretch, scale / stretch, x, y)


def _transform(images, angle, width, height, x, y) -> Tensor:
    """Resample each image by its own affine map: arguments (N,); x and y in half sides."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [cos * width, -sin * height, x, sin * width, cos * height, y]
    matrix = torch.stack(rows, dim=1).view(-1, 2, 3).to(images.device)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def expose(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change gamma, contrast and brightness of each image."""
    n = len(images)
    gamma, gain = (torch.exp(_uniform(n, r, generator)) for r in (GAMMA, CONTRAST))
    offset = _uniform(n, BRIGHTNESS, generator)
    gamma, gain, offset = (v.view(n, 1, 1, 1).to(images.device) for v in (gamma, gain, offset))
    # The gradient of 0 ** gamma is infinite, hence the floor.
    curved = ((images + 1) / 2).clamp_min_(1e-6).pow_(gamma).mul_(2).sub_(1)
    return curved.mul_(gain).add_(offset)


def sharpen(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur or sharpen each image: focal spots, detectors and resizing differ in sharpness.

    The blur is binomial: 5 x 5 pixels at a side of 28, the same share of the chest at others.
    """
    n, side = len(images), images.shape[-1]
    place = torch.arange(side)
    once = torch.zeros(side, side)
    for step, weight in ((-1, 0.25), (0, 0.5), (1, 0.25)):
        once[place, (place + step).clamp(0, side - 1)] += weight
    blur = torch.linalg.matrix_power(once, round(2 * (side / 28) ** 2)).to(images)
    amount = _uniform(n, SHARPNESS, generator).view(-1, 1, 1, 1).to(images.device)
    return images + amount * (images - blur @ images @ blur.T)


STEPS = {"move": move, "reframe": reframe, "sharpen": sharpen, "expose": expose}


def _uniform(n: int, reach: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(n, generator=generator) * 2 - 1) * reach
