"""Random but plausible re-takes of a film: position on the detector, sharpness, exposure.

The ranges follow what differs between two radiographs of one chest, not any test score:
a patient stands tilted, nearer or off-centre, and tube voltage and processing change the curve.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

ROTATION = math.radians(10)  # to either side
SCALE = 0.12  # relative, to either side
SHIFT = 0.12  # of half the side length, to every side
GAMMA = 0.35  # of the exponent's logarithm
CONTRAST = 0.25  # of the gain's logarithm
BRIGHTNESS = 0.15  # in units of [-1, 1]
SHARPNESS = 1.0  # to either side: -1 is the film blurred, +1 adds what blurring takes away


def augment(films: Tensor, steps: Iterable[str], generator: torch.Generator) -> Tensor:
    """(N, 1, H, W) films in [-1, 1] -> the same, each changed anew by the steps, in their order:
    names of `STEPS`. Values may leave [-1, 1] a little.

    `generator` lives on the CPU whatever the films' device, so that a seed means the same anywhere.
    """
    for step in steps:
        films = STEPS[step](films, generator)
    return films


def move(films: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate, scale and shift each film; what comes in at the border repeats the border."""
    n = len(films)
    angle = _uniform(n, ROTATION, generator)
    scale = torch.exp(_uniform(n, SCALE, generator))
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    x, y = _uniform(n, SHIFT, generator), _uniform(n, SHIFT, generator)
    matrix = torch.stack([cos, -sin, x, sin, cos, y], dim=1).view(n, 2, 3).to(films.device)
    grid = F.affine_grid(matrix, list(films.shape), align_corners=False)
    return F.grid_sample(films, grid, padding_mode="border", align_corners=False)


def expose(films: Tensor, generator: torch.Generator) -> Tensor:
    """Change gamma, contrast and brightness of each film."""
    n = len(films)
    gamma, gain = (torch.exp(_uniform(n, r, generator)) for r in (GAMMA, CONTRAST))
    offset = _uniform(n, BRIGHTNESS, generator)
    gamma, gain, offset = (v.view(n, 1, 1, 1).to(films.device) for v in (gamma, gain, offset))
    curved = ((films + 1) / 2).clamp_min_(1e-6).pow_(gamma).mul_(2).sub_(1)
    return curved.mul_(gain).add_(offset)


def sharpen(films: Tensor, generator: torch.Generator) -> Tensor:
    """Blur or sharpen each film: focal spots, detectors and resizing differ in how sharp they are.
    The blur is binomial, over 5 x 5 pixels."""
    row = torch.tensor([1.0, 2.0, 1.0], device=films.device) / 4
    kernel = torch.outer(row, row).view(1, 1, 3, 3)
    blurred = films
    for _ in range(2):
        blurred = F.conv2d(F.pad(blurred, (1, 1, 1, 1), mode="replicate"), kernel)
    amount = _uniform(len(films), SHARPNESS, generator).view(-1, 1, 1, 1).to(films.device)
    return films + amount * (films - blurred)


STEPS = {"move": move, "sharpen": sharpen, "expose": expose}


def _uniform(n: int, reach: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(n, generator=generator) * 2 - 1) * reach
