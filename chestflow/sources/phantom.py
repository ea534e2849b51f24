"""Chest radiograph phantoms in the layout of MedMNIST, for tests, demonstrations and offline work.

Prevalences follow ChestX-ray14 (Wang et al. 2017, arXiv:1705.02315) as cut by MedMNIST v2
(Yang et al. 2023, doi:10.1038/s41597-022-01721-8). No phantom stands for a patient.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from chestflow.errors import UserError
from chestflow.sources import anatomy
from chestflow.sources.anatomy import Chest, Domain, RandomStream, Span, ramp
from chestflow.sources.findings import ATLAS, FINDINGS

CHUNK_PIXELS = 2**13  # drawn at once, so that a chunk stays in the processor's cache
VISIBLE = 0.3  # a mask covers where a finding has this share of its greatest opacity
DRAWS = 40  # random numbers for each image and each finding of an image
ADULTS = Domain()
CHILDREN = Domain(
    lung_width=(0.29, 0.34),
    lung_height=(0.66, 0.80),
    dome=(0.30, 0.46),
    heart=(0.24, 0.31),
    breast=(0, 0),
)
CHILDREN_ELSEWHERE = CHILDREN._replace(
    zoom=(1.02, 1.25), shift=(-0.13, 0.05), gain=(0.62, 0.95), veil=(0.05, 0.24), blur=(0.2, 1.0)
)


def _chest_truth(rng: np.random.Generator, n: int, split: str) -> np.ndarray:
    """Findings (n, 14) bool at the prevalences of the atlas. The ill have several at a time (a
    fifth of the liability is common to all findings): so about 46 % of the images have any."""
    noise = rng.standard_normal((n, 1 + len(FINDINGS)))
    liability = np.sqrt(0.2) * noise[:, :1] + np.sqrt(0.8) * noise[:, 1:]
    return liability > -ndtri([finding.prevalence for finding in ATLAS.values()])


def _pneumonia_truth(rng: np.random.Generator, n: int, split: str) -> np.ndarray:
    """Pneumonia or not (n, 1) bool, shuffled, at the shares of PneumoniaMNIST's splits."""
    share = 0.625 if split == "test" else 0.742
    return rng.permuted(np.arange(n) < round(share * n))[:, None]


class Collection(NamedTuple):
    names: tuple[str, ...]  # its findings: bit k of a mask is names[k]
    truth: Callable[[np.random.Generator, int, str], np.ndarray]
    mixed_up: float  # share of the labels that are taken from another image
    conspicuity: Span  # opacity of findings: 0 invisible, 1 as in the atlas
    domain: Domain  # of train and val
    test_domain: Domain


COLLECTIONS = {
    "chestmnist": Collection(FINDINGS, _chest_truth, 0.12, (0.1, 0.75), ADULTS, ADULTS),
    "pneumoniamnist": Collection(
        ("pneumonia",), _pneumonia_truth, 0.0, (0.2, 0.9), CHILDREN, CHILDREN_ELSEWHERE
    ),
}


def archive(
    dataset: str, sizes: dict[str, int], seed: int, size: int = 28, shortcut: float = 0.0
) -> dict[str, np.ndarray]:
    """Phantoms of "chestmnist" or "pneumoniamnist" in the layout of MedMNIST's npz files.

    sizes: number of images of each split; size: their side length in pixels
    shortcut: by which share the chests with findings are magnified more than the others, so that
    the framing gives the class away, as that of the real PneumoniaMNIST does; 0: not at all.
    Returns {split}_images uint8 (n, size, size) and {split}_labels uint8 (n, 14) or (n, 1) of each
    split; {split}_masks uint16 (n, size, size), which hold the truth that labels only tell with
    errors: bit k is set where FINDINGS[k] lies (in "pneumoniamnist" bit 0, where pneumonia lies);
    and `origin`, which marks them as phantoms. An image depends on seed, dataset, split and its own
    place in the split alone, but for the shuffled order of pneumoniamnist's labels.
    Raises UserError for an unknown data set.
    """
    if dataset not in COLLECTIONS:
        known = ", ".join(COLLECTIONS)
        raise UserError(f"no phantom of dataset {dataset!r}: choose one of {known}")
    arrays: dict[str, np.ndarray] = {}
    for split, n in sizes.items():
        rng = np.random.default_rng([seed, *dataset.encode(), *split.encode()])
        drawn = _split(COLLECTIONS[dataset], rng, split, n, size, shortcut)
        arrays |= zip((f"{split}_images", f"{split}_labels", f"{split}_masks"), drawn)
    return arrays | {"origin": np.array("phantom")}


def _split(kind: Collection, rng: np.random.Generator, split: str, n: int, size: int, shortcut):
    """Images, labels and masks of one split, drawn a few at a time."""
    # a stream for each purpose, so that no image depends on how many are drawn at once
    patients, errors, layout, *streams = rng.spawn(6)
    domain = kind.test_domain if split == "test" else kind.domain
    truth = kind.truth(patients, n, split)
    labels = _with_errors(truth, kind.mixed_up, errors)
    uniform = layout.random((n, 2 + len(kind.names), DRAWS), np.float32)
    nearer = 1 + np.float32(shortcut) * truth.any(axis=1).reshape(-1, 1, 1)
    images, masks = np.empty((n, size, size), np.uint8), np.empty((n, size, size), np.uint16)
    step = max(1, CHUNK_PIXELS // size**2)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        given = nearer[rows], truth[rows], uniform[rows]
        images[rows], masks[rows] = _render(kind, domain, *given, streams, size)
    return images, labels, masks


def _with_errors(truth: np.ndarray, mixed_up: float, rng: np.random.Generator) -> np.ndarray:
    """Labels (n, k) uint8 with errors, as if mined from reports: the share `mixed_up` is taken from
    the image before, which drops findings and adds others but keeps their prevalence."""
    before = np.concatenate([truth[:1], truth[:-1]])
    return np.where(rng.random(truth.shape) < mixed_up, before, truth).astype(np.uint8)


def _render(kind: Collection, domain: Domain, nearer, truth, uniform, streams, size: int):
    """Images uint8 and masks uint16 (n, size, size) of chests with these findings (n, k)."""
    n, grid = len(truth), size * (2 if size < 64 else 1)
    clouds, grains, speckles = streams
    cloud, grain = anatomy.texture(clouds, n, 7, grid), anatomy.texture(grains, n, 29, grid)
    random = RandomStream(uniform[:, 0])
    x, y = anatomy.frame(random, domain, grid, nearer)
    chest = anatomy.chest(random, domain, x, y, cloud, grain)
    masks = _add_findings(chest, kind, truth, uniform[:, 2:], size)
    density = _shrink(chest.density + anatomy.bones(random, chest), size)
    speckle = speckles.standard_normal(masks.shape, np.float32)
    return _expose(density, RandomStream(uniform[:, 1]), domain, speckle), masks


def _add_findings(chest: Chest, kind: Collection, truth, uniform, size: int) -> np.ndarray:
    """Draw findings (n, k) into the chests' density; returns their masks (n, size, size) uint16."""
    masks = np.zeros((len(truth), size, size), np.uint16)
    for bit, name in enumerate(kind.names):
        rows = np.flatnonzero(truth[:, bit])
        if rows.size:
            ill, random = Chest(*(field[rows] for field in chest)), RandomStream(uniform[rows, bit])
            opacity = random.between(*kind.conspicuity) * ATLAS[name].opacity(ill, random)
            chest.density[rows] += opacity * (ATLAS[name].density - ill.density)
            small = _shrink(opacity, size)
            core = small > VISIBLE * small.max((1, 2), keepdims=True)
            masks[rows] |= core.astype(np.uint16) << bit
    return masks


def _shrink(field: np.ndarray, size: int) -> np.ndarray:
    """Mean over the sub-pixels of each pixel."""
    step = field.shape[-1] // size
    return sum(field[:, i::step, j::step] for i in range(step) for j in range(step)) / step**2


def _expose(density: np.ndarray, random: RandomStream, domain: Domain, noise: np.ndarray):
    """Images (n, size, size) uint8 of densities: blur, exposure, vignette, collimation, noise."""
    padded = np.pad(density, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    soft = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 16
    image = density + random.between(*domain.blur) * (soft - density)
    image = random.between(*domain.veil) + random.between(*domain.gain) * image
    axis = np.linspace(-1, 1, density.shape[-1], dtype=np.float32)
    column, row = axis[None, None, :], axis[None, :, None]
    image = image * (1 - random.between(0, 0.15) * (column**2 + row**2))
    image = image.clip(0, 1) ** random.between(*domain.gamma)
    image = image + random.between(*domain.noise) * noise
    aside, above = column + 0.8 * random.side(), row + random.between(0.75, 0.85)
    mark = np.maximum(np.abs(aside), np.abs(above)) < 0.07
    image = np.maximum(image, 0.9 * random.happens(0.3) * mark)
    image = image * ramp(random.between(0.9, 1.4) - np.abs(column), 0.04)
    return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8)
