"""The findings that phantoms may have: ChestX-ray14's (Wang et al. 2017, arXiv:1705.02315), each
drawn as an opacity 0..1 over a phantom chest."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from chestflow.sources.anatomy import HEART, Chest, RandomStream, disc, glow, ramp


def _beside(image: Chest, side: np.ndarray) -> np.ndarray:
    """1 in the half of the body that the side belongs to."""
    return ramp(image.x * side, 0.1)


def _spot(image: Chest, random: RandomStream) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates about a point within one lung, clear of the heart."""
    side = random.side()
    height = random.between(-0.42, 0.18 - 0.08 * side)
    across = random.between(0.28, 0.51) + 0.07 * height + 0.03 * (1 + side)
    return image.x - side * across, image.y - height


def _lobe(image: Chest, random: RandomStream) -> np.ndarray:
    """A dense region of one lung with ragged borders."""
    x, y = _spot(image, random)
    border = disc(x, y, random.between(0.20, 0.32), random.between(0.22, 0.38)) + 0.05 * image.cloud
    return ramp(border, 0.12) * image.lung * random.between(0.35, 0.9)


def _haze(image: Chest, random: RandomStream) -> np.ndarray:
    """A faint, patchy veil over a large part of one lung or of both."""
    reach = random.between(0.26, 0.42)
    first, second = (glow(*_spot(image, random), reach, reach) for _ in range(2))
    veil = np.maximum(first, second * random.happens(0.5))
    return veil * (0.75 + 0.25 * image.cloud).clip(0.2, 1) * image.lung * random.between(0.25, 0.6)


def _pneumonia(image: Chest, random: RandomStream) -> np.ndarray:
    """Lobar (dense, one region), bronchial (two regions) or interstitial (a veil)."""
    kind = random.between(0, 1)
    lobe, other, veil = _lobe(image, random), _lobe(image, random), _haze(image, random)
    return np.where(kind < 0.35, lobe, np.where(kind < 0.6, np.maximum(lobe, other), veil))


def _atelectasis(image: Chest, random: RandomStream) -> np.ndarray:
    """A plate of collapsed lung above a diaphragm that is drawn upwards."""
    side = random.side()
    height = image.dome + random.between(-0.4, 0.4) * (image.x - side * 0.4)
    plate = ramp(random.between(0.04, 0.08) - np.abs(height - random.between(0.15, 0.4)))
    raised = ramp(random.between(0.02, 0.14) - image.dome)
    opacity = np.maximum(plate * random.between(0.4, 0.9), raised)
    return opacity * image.lung * _beside(image, side)


def _cardiomegaly(image: Chest, random: RandomStream) -> np.ndarray:
    """A wider heart: what it takes from the lungs."""
    return ramp(image.heart + random.between(0.06, 0.14)) * image.lung


def _effusion(image: Chest, random: RandomStream) -> np.ndarray:
    """Fluid that fills the costophrenic angle and climbs the wall: a meniscus."""
    side = random.side()
    climb = random.between(0.1, 0.35) * ramp(0.12 - image.wall, 0.24)
    depth = random.between(-0.04, 0.35) + climb - image.dome
    return ramp(depth, 0.08) * image.lung * _beside(image, side) * random.between(0.6, 1)


def _ball(image: Chest, random: RandomStream, smallest: float, largest: float) -> np.ndarray:
    """A round opacity with a sharp border: a nodule if small, a mass if large."""
    radius = random.between(smallest, largest)
    ball = disc(*_spot(image, random), radius, radius * random.between(0.8, 1.2))
    return ramp(ball) * image.lung * random.between(0.5, 1)


def _pneumothorax(image: Chest, random: RandomStream) -> np.ndarray:
    """Air between wall and lung: a black rim without markings, lateral and apical."""
    side = random.side()
    lateral = np.abs(image.x) - 0.36 - 0.3 * (image.y + 0.3).clip(-0.5, 0)
    rim = ramp(random.between(0.06, 0.16) - image.wall) * ramp(lateral, 0.1)
    return rim * ramp(image.dome - 0.1) * image.lung * _beside(image, side)


def _edema(image: Chest, random: RandomStream) -> np.ndarray:
    """Bat wings: haze about both hila."""
    reach = random.between(0.2, 0.34)
    wings = glow(np.abs(image.x) - 0.24, image.y - 0.02, reach, reach * 1.2)
    return wings * (0.85 + 0.15 * image.cloud).clip(0, 1) * image.lung * random.between(0.4, 0.8)


def _emphysema(image: Chest, random: RandomStream) -> np.ndarray:
    """Over-inflated: black lungs down to a flat, low diaphragm."""
    inflated = ramp(image.wall) * ramp(image.dome + random.between(0.06, 0.16))
    return inflated * (1 - ramp(image.heart)) * random.between(0.5, 0.9)


def _fibrosis(image: Chest, random: RandomStream) -> np.ndarray:
    """A net of fine lines at both bases."""
    net = ramp(0.4 - np.abs(image.grain), 0.5)
    base = ramp(random.between(0.3, 0.55) - image.dome, 0.25)
    return net * base * image.lung * random.between(0.45, 0.85)


def _pleural(image: Chest, random: RandomStream) -> np.ndarray:
    """Thickened pleura: a bright rim along the lateral wall."""
    side = random.side()
    along = random.between(0.2, 0.45) - np.abs(image.y - random.between(-0.25, 0.25))
    rim = ramp(random.between(0.05, 0.1) - image.wall) * ramp(np.abs(image.x) - 0.42, 0.1)
    return rim * ramp(along, 0.2) * image.lung * _beside(image, side) * random.between(0.6, 1)


def _hernia(image: Chest, random: RandomStream) -> np.ndarray:
    """A sac of stomach, with its air, before the heart's shadow."""
    radius, lateral = random.between(0.13, 0.22), random.between(0.0, 0.15)
    return ramp(disc(image.x - lateral, image.y - random.between(0.24, 0.34), radius, radius))


class Finding(NamedTuple):
    prevalence: float  # share of labelled images in ChestMNIST's training split
    density: float  # of the tissue where opacity is 1
    opacity: Callable[[Chest, RandomStream], np.ndarray]


ATLAS: dict[str, Finding] = {
    "atelectasis": Finding(0.103, 0.68, _atelectasis),
    "cardiomegaly": Finding(0.025, HEART, _cardiomegaly),
    "effusion": Finding(0.119, 0.74, _effusion),
    "infiltration": Finding(0.178, 0.70, _haze),
    "mass": Finding(0.050, 0.70, partial(_ball, smallest=0.12, largest=0.22)),
    "nodule": Finding(0.056, 0.70, partial(_ball, smallest=0.045, largest=0.09)),
    "pneumonia": Finding(0.012, 0.70, _pneumonia),
    "pneumothorax": Finding(0.047, 0.02, _pneumothorax),
    "consolidation": Finding(0.042, 0.72, _lobe),
    "edema": Finding(0.021, 0.68, _edema),
    "emphysema": Finding(0.022, 0.06, _emphysema),
    "fibrosis": Finding(0.015, 0.70, _fibrosis),
    "pleural": Finding(0.030, 0.70, _pleural),
    "hernia": Finding(0.002, 0.35, _hernia),
}
FINDINGS: tuple[str, ...] = tuple(ATLAS)
