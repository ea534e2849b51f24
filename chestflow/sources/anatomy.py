"""Phantom chests without findings: body coordinates, lungs, heart, tissue, bones.

A chest is drawn in body coordinates: x grows from the patient's right (left edge of the image) to
the patient's left, y from the neck to the abdomen, both about -1..1. Density (0 air, 1 bone) is
bright, as on a radiograph. Everything is vectorised over images: scalars of an image have the shape
(n, 1, 1).
"""

from typing import NamedTuple

import numpy as np

Span = tuple[float, float]
LUNG, SOFT, HEART, ABDOMEN = 0.2, 0.52, 0.74, 0.8  # density; air is 0


class RandomStream:
    """Uniform numbers (n images, DRAWS), used up column by column. One row per image makes an
    image independent of how many follow it and of the order in which they are generated."""

    def __init__(self, uniform: np.ndarray):
        self._columns = iter(uniform.T.astype(np.float32)[:, :, None, None])

    def between(self, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
        return low + (high - low) * next(self._columns)

    def side(self) -> np.ndarray:
        """-1 for the patient's right lung, 1 for the left one."""
        return np.where(next(self._columns) < 0.5, np.float32(-1), np.float32(1))

    def happens(self, probability: float) -> np.ndarray:
        return (next(self._columns) < probability).astype(np.float32)


class Domain(NamedTuple):
    """Who is imaged, and how: the ranges that an image is drawn from. By default adults."""

    # build: body coordinates
    lung_width: Span = (0.30, 0.36)
    lung_height: Span = (0.76, 0.90)
    dome: Span = (0.40, 0.56)
    heart: Span = (0.22, 0.29)
    breast: Span = (-0.10, 0.16)  # density of its shadow; none below 0
    # framing: factor, body coordinates, degrees
    zoom: Span = (0.97, 1.14)
    shift: Span = (-0.08, 0.08)
    tilt: Span = (-6, 6)
    # exposure, noise and blur: on densities 0..1
    gain: Span = (0.80, 1.10)
    veil: Span = (-0.05, 0.12)
    gamma: Span = (0.75, 1.30)
    noise: Span = (0.01, 0.035)
    blur: Span = (0.0, 0.7)


class Chest(NamedTuple):
    """Fields (n, grid, grid) of the images being drawn; `wall` and `dome` are signed distances into
    the lung from the chest wall and from the diaphragm."""

    x: np.ndarray
    y: np.ndarray
    wall: np.ndarray
    dome: np.ndarray
    heart: np.ndarray  # signed distance into the heart
    lung: np.ndarray  # 0..1
    density: np.ndarray
    cloud: np.ndarray  # coarse texture, mean 0, sd about 1
    grain: np.ndarray  # fine texture


def ramp(distance: np.ndarray, edge: float = 0.06) -> np.ndarray:
    """1 inside (distance > 0), 0 outside, linear over an edge of the given width."""
    value = distance / edge
    value += 0.5
    return value.clip(0, 1, out=value)


def disc(x, y, radius_x, radius_y) -> np.ndarray:
    """Signed distance (approximately) into an ellipse about the origin."""
    return (1 - np.sqrt((x / radius_x) ** 2 + (y / radius_y) ** 2)) * np.minimum(radius_x, radius_y)


def glow(x, y, radius_x, radius_y) -> np.ndarray:
    """A soft spot, exp(-r^2) but of finite reach: denormal tails would be slow to compute with."""
    near = 1 - 0.25 * ((x / radius_x) ** 2 + (y / radius_y) ** 2)
    return near.clip(0) ** 2 * near**2


def texture(rng: np.random.Generator, n: int, knots: int, grid: int) -> np.ndarray:
    """Smooth random fields (n, grid, grid): knots x knots normal numbers, blended."""
    position = (np.arange(grid, dtype=np.float32) + 0.5) / grid * (knots - 1)
    weight = glow(position[:, None] - np.arange(knots, dtype=np.float32), 0, 0.8, 1)
    weight /= np.sqrt((weight**2).sum(1, keepdims=True))
    return weight @ (rng.standard_normal((n, knots, knots), np.float32) @ weight.T)


def frame(random: RandomStream, domain: Domain, grid: int, nearer: np.ndarray):
    """Body coordinates x, y (n, grid, grid) of the pixels of rotated, shifted, magnified images;
    nearer: (n, 1, 1) factor on the magnification of each image."""
    axis = (np.arange(grid, dtype=np.float32) + 0.5) * (2 / grid) - 1
    column, row = axis[None, None, :], axis[None, :, None]
    angle = np.deg2rad(random.between(*domain.tilt))
    zoom = random.between(*domain.zoom) * nearer
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    x = (cos * column + sin * row) * random.between(0.95, 1.06) + random.between(*domain.shift)
    return x, cos * row - sin * column + random.between(*domain.shift)


def chest(random: RandomStream, domain: Domain, x, y, cloud, grain) -> Chest:
    """Images without ribs and without findings."""
    across = np.abs(x - random.between(-0.03, 0.03) * y)
    width, height = random.between(*domain.lung_width), random.between(*domain.lung_height)
    wall = disc(across - 0.41 - 0.07 * y, y - 0.12, width, height)
    arch = random.between(0.5, 1.3) * (across - 0.36) ** 2 - 0.06 * ramp(-x, 0.3)
    dome = random.between(*domain.dome) + arch - y
    size, lean = random.between(*domain.heart), random.between(0.45, 0.8)
    along, aside = x - random.between(0.08, 0.17), y - random.between(0.18, 0.28)
    heart = disc(along + lean * aside, aside - lean * along, size * 1.45, size)
    lung = ramp(np.minimum(wall, dome)) * (1 - ramp(heart))
    density = _tissue(random, x, y, across, dome) * (1 - lung) + LUNG * lung
    density += ramp(heart) * (HEART - density)
    hila = glow(across - 0.17, y + 0.03, 0.13, 0.2) * random.between(0.08, 0.28)
    vessels = 0.035 * grain * ramp(0.42 - across, 0.6)
    breast = glow(across - 0.42, y - 0.3, 0.3, 0.2) * random.between(*domain.breast).clip(0)
    density += lung * (hila + vessels) + breast
    return Chest(x, y, wall, dome, heart, lung, density, cloud, grain)


def _tissue(random: RandomStream, x, y, across, dome) -> np.ndarray:
    """Density of everything but lungs and heart: body, mediastinum, abdomen, stomach bubble."""
    shoulder = y - random.between(-0.92, -0.8) - random.between(0.2, 0.45) * across**2
    outline = np.minimum(random.between(0.88, 1.08) - across, shoulder)
    neck = 0.22 - across
    tissue = SOFT + (ABDOMEN - SOFT) * ramp(-dome, 0.12)
    knob = random.between(0.02, 0.08) * glow(x - 0.2, y + 0.32, 0.3, 0.12) * (x > 0)
    waist = 0.09 * ramp(y - 0.02, 0.5)
    middle = ramp(random.between(0.09, 0.14) + knob + waist - across)
    tissue += middle * (HEART - tissue)
    bubble = disc(x - 0.38, y - random.between(0.58, 0.7), 0.16, random.between(0.05, 0.12))
    tissue -= ramp(bubble) * random.between(-0.2, 0.35).clip(0)
    return tissue * ramp(np.maximum(outline, neck))


def bones(random: RandomStream, image: Chest) -> np.ndarray:
    """Density that ribs, clavicles and spine add over whatever lies behind them."""
    across = np.abs(image.x)
    phase = image.y * random.between(5.5, 7.5) + random.between(0, 1) - 3 * (across - 0.4) ** 2
    cage = ramp(np.minimum(image.wall + 0.08, 0.5 * image.dome + 0.08), 0.1)
    rib = np.sin(2 * np.pi * phase) * cage * ramp(across - 0.1, 0.2)
    slope = image.y + random.between(0.5, 0.62) + random.between(0.1, 0.3) * across
    clavicle = ramp(0.035 - np.abs(slope)) * ramp(0.62 - across, 0.1)
    spine = ramp(0.07 - across) * ramp(image.dome + 0.2, 0.2)
    strength = random.between(0.015, 0.06), random.between(0.05, 0.2), random.between(0.02, 0.12)
    return rib * strength[0] + clavicle * strength[1] + spine * strength[2]
