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
FRAME = 0.2  # reframe: scale, relative, and shift, of half the side length, to either side
STRETCH = 0.15  # reframe: of width against height, relative, to either side
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
    x, y = _uniform(n, SHIFT, generator), _uniform(n, SHIFT, generator)
    return _transform(films, angle, scale, scale, x, y)


def reframe(films: Tensor, generator: torch.Generator) -> Tensor:
    """`move` with wider ranges, and stretched: as if others had cropped and resized the film.

    MedMNIST cuts the centre out of films whose shape goes with the diagnosis, so that in training
    the frame tells what the chest should.
    """
    n = len(films)
    angle = _uniform(n, ROTATION, generator)
    scale = torch.exp(_uniform(n, FRAME, generator))
    stretch = torch.exp(_uniform(n, STRETCH / 2, generator))
    x, y = _uniform(n, FRAME, generator), _uniform(n, FRAME, generator)
    return _transform(films, angle, scale * stretch, scale / stretch, x, y)


def _transform(films, angle, width, height, x, y) -> Tensor:
    """What an affine map shows of each film: all arguments (N,); x and y in half sides."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [cos * width, -sin * height, x, sin * width, cos * height, y]
    matrix = torch.stack(rows, dim=1).view(-1, 2, 3).to(films.device)
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
    The blur is binomial: over 5 x 5 pixels of a film of 28, and as wide in a larger one."""
    n, side = len(films), films.shape[-1]
    place = torch.arange(side)
    once = torch.zeros(side, side)
    for step, weight in ((-1, 0.25), (0, 0.5), (1, 0.25)):
        once[place, (place + step).clamp(0, side - 1)] += weight
    blur = torch.linalg.matrix_power(once, round(2 * (side / 28) ** 2)).to(films)
    amount = _uniform(n, SHARPNESS, generator).view(-1, 1, 1, 1).to(films.device)
    return films + amount * (films - blur @ films @ blur.T)


STEPS = {"move": move, "reframe": reframe, "sharpen": sharpen, "expose": expose}


def _uniform(n: int, reach: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(n, generator=generator) * 2 - 1) * reach
