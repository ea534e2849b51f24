"""Chest radiograph phantoms in the layout of MedMNIST, for tests, demonstrations and offline work.

Prevalences follow ChestX-ray14 (Wang et al. 2017, arXiv:1705.02315) as cut by MedMNIST v2
(Yang et al. 2023, doi:10.1038/s41597-022-01721-8). No phantom stands for a patient.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from chestflow.errors import UserError
from chestflow.sources.anatomy import (
    Acquisition,
    Habitus,
    RandomStream,
    Span,
    anatomy,
    bones,
    frame,
    ramp,
    texture,
)
from chestflow.sources.archive import write as write_archive
from chestflow.sources.findings import ATLAS, FINDINGS, add_findings
from chestflow.sources.parts import folder_for

CHUNK_PIXELS = 2**16  # generated at once, so that a chunk stays in the processor's cache
VISIBLE = 0.3  # a mask covers where a finding has this share of its greatest opacity
DRAWS = 40  # random numbers for each image and each finding of an image
ADULT = Habitus()
CHILD = Habitus(
    lung_width=(0.29, 0.34),
    lung_height=(0.66, 0.80),
    dome=(0.30, 0.46),
    heart=(0.24, 0.31),
    breast=(0, 0),
)
ROUTINE = Acquisition()
ELSEWHERE = Acquisition(
    zoom=(1.02, 1.25), shift=(-0.13, 0.05), gain=(0.62, 0.95), veil=(0.05, 0.24), blur=(0.2, 1.0)
)


def _expose(
    density: np.ndarray, random: RandomStream, how: Acquisition, noise: np.ndarray
) -> np.ndarray:
    """Images (n, size, size) uint8 of densities: blur, exposure, vignette, collimation, noise."""
    padded = np.pad(density, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    soft = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 16
    image = density + random.between(*how.blur) * (soft - density)
    image = random.between(*how.veil) + random.between(*how.gain) * image
    axis = np.linspace(-1, 1, density.shape[-1], dtype=np.float32)
    column, row = axis[None, None, :], axis[None, :, None]
    image = image * (1 - random.between(0, 0.15) * (column**2 + row**2))
    image = image.clip(0, 1) ** random.between(*how.gamma)
    image = image + random.between(*how.noise) * noise
    mark = np.maximum(
        np.abs(column + 0.8 * random.side()), np.abs(row + random.between(0.75, 0.85))
    )
    image = np.maximum(image, 0.9 * random.happens(0.3) * (mark < 0.07))
    image = image * ramp(random.between(0.9, 1.4) - np.abs(column), 0.04)
    return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _shrink(field: np.ndarray, size: int) -> np.ndarray:
    """Mean over the sub-pixels of each pixel."""
    step = field.shape[-1] // size
    return sum(field[:, i::step, j::step] for i in range(step) for j in range(step)) / step**2


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


@dataclass(frozen=True)
class Collection:
    names: tuple[str, ...]  # its findings: bit k of a mask is names[k]
    truth: Callable[[np.random.Generator, int, str], np.ndarray]
    mixed_up: float  # share of the labels that are taken from another image
    conspicuity: Span  # opacity of findings: 0 invisible, 1 as in the atlas
    build: Habitus
    test: Acquisition  # of the test split; train and val are taken as ROUTINE


COLLECTIONS = {
    "chestmnist": Collection(FINDINGS, _chest_truth, 0.12, (0.1, 0.75), ADULT, ROUTINE),
    "pneumoniamnist": Collection(
        ("pneumonia",), _pneumonia_truth, 0.0, (0.2, 0.9), CHILD, ELSEWHERE
    ),
}


def _labels(rng: np.random.Generator, truth: np.ndarray, mixed_up: float) -> np.ndarray:
    """Labels (n, k) uint8 with errors, as if mined from reports: the share `mixed_up` is taken from
    the image before, which drops findings and adds others but keeps their prevalence."""
    before = np.concatenate([truth[:1], truth[:-1]])
    return np.where(rng.random(truth.shape) < mixed_up, before, truth).astype(np.uint8)


def _render(kind: Collection, how: Acquisition, shortcut, truth, uniform, textures, size: int):
    """Densities (n, size, size) and masks (n, size, size) uint16 of images with these findings."""
    random = RandomStream(uniform[:, 0])
    nearer = 1 + np.float32(shortcut) * truth.any(axis=1)[:, None, None]
    body = frame(random, how, textures[0].shape[-1], nearer)
    image = anatomy(random, kind.build, *body, *textures)
    masks = np.zeros((len(truth), size, size), np.uint16)
    findings = add_findings(image, truth, kind.names, kind.conspicuity, uniform[:, 2:])
    for bit, rows, opacity in findings:
        small = _shrink(opacity, size)
        core = small > VISIBLE * small.max((1, 2), keepdims=True)
        masks[rows] |= core.astype(np.uint16) << bit
    return _shrink(image.density + bones(random, image), size), masks


def _images(
    kind, how: Acquisition, shortcut, truth, uniform, streams, size: int
) -> Iterator[tuple]:
    """Images and masks of consecutive images, a few at a time."""
    clouds, grains, speckles = streams
    grid = size * (2 if size < 64 else 1)
    step = max(1, CHUNK_PIXELS // grid**2)
    for start in range(0, len(truth), step):
        some = slice(start, start + step)
        count = len(truth[some])
        textures = texture(clouds, count, 7, grid), texture(grains, count, 29, grid)
        density, masks = _render(kind, how, shortcut, truth[some], uniform[some], textures, size)
        speckle = speckles.standard_normal((count, size, size), np.float32)
        yield _expose(density, RandomStream(uniform[some, 1]), how, speckle), masks


def generate(
    dataset: str, split: str, n: int, seed: int, size: int = 28, shortcut: float = 0.0
) -> tuple[np.ndarray, Iterator[tuple[np.ndarray, np.ndarray]]]:
    """n images of one split of "chestmnist" or "pneumoniamnist", with sides of `size` pixels.

    shortcut: by which share the chests with findings are magnified more than the others, so that
    the framing gives the class away, as that of the real PneumoniaMNIST does; 0: not at all.
    Returns the labels uint8 (n, 14) or (n, 1), and an iterator over images uint8 (few, size, size)
    and masks uint16 (few, size, size), which hold the truth that labels only tell with errors: bit
    k is set where FINDINGS[k] lies (bit 0 for pneumonia in "pneumoniamnist"). Together they are n
    images, which need not fit into memory. An image depends on seed, dataset, split and its own
    place in the split alone, but for the shuffled order of pneumoniamnist's labels.
    Raises UserError for an unknown data set.
    """
    if dataset not in COLLECTIONS:
        known = ", ".join(COLLECTIONS)
        raise UserError(f"no phantom of dataset {dataset!r}: choose one of {known}")
    kind = COLLECTIONS[dataset]
    rng = np.random.default_rng([seed, *dataset.encode(), *split.encode()])
    # a stream for each purpose, so that no image depends on how many are generated at once
    patients, errors, layout, *streams = rng.spawn(6)
    truth = kind.truth(patients, n, split)
    uniform = layout.random((n, 2 + len(kind.names), DRAWS), np.float32)
    how = kind.test if split == "test" else ROUTINE
    labels = _labels(errors, truth, kind.mixed_up)
    return labels, _images(kind, how, shortcut, truth, uniform, streams, size)


def archive(
    dataset: str, sizes: dict[str, int], seed: int, size: int = 28, shortcut: float = 0.0
) -> dict[str, np.ndarray]:
    """Phantoms in memory, in the layout of MedMNIST's npz files: {split}_images, {split}_labels and
    {split}_masks of each split in `sizes`, which gives its number of images."""
    arrays: dict[str, np.ndarray] = {}
    for split, n in sizes.items():
        labels, generated = generate(dataset, split, n, seed, size, shortcut)
        images, masks = (np.concatenate(blocks) for blocks in zip(*generated, strict=True))
        arrays |= {f"{split}_images": images, f"{split}_labels": labels, f"{split}_masks": masks}
    return arrays


def write(
    path: Path,
    dataset: str,
    sizes: dict[str, int],
    seed: int,
    size: int = 28,
    shortcut: float = 0.0,
) -> None:
    """Write the same as an npz file, marked as a phantom inside, where every later stage can read
    it. Images and masks go through files: at 224 pixels they are gigabytes."""
    with folder_for(path) as folder:
        arrays: dict[str, np.ndarray] = {}
        for split, n in sizes.items():
            labels, generated = generate(dataset, split, n, seed, size, shortcut)
            places = folder / f"{split}_images", folder / f"{split}_masks"
            with places[0].open("wb") as image_file, places[1].open("wb") as mask_file:
                for images, masks in generated:
                    image_file.write(images.tobytes())
                    mask_file.write(masks.tobytes())
            shape = (n, size, size)
            arrays[f"{split}_images"] = np.memmap(places[0], np.uint8, "r", shape=shape)
            arrays[f"{split}_labels"] = labels
            arrays[f"{split}_masks"] = np.memmap(places[1], np.uint16, "r", shape=shape)
        write_archive(path, arrays | {"origin": np.array("phantom")})
