"""Chest radiograph phantoms in the layout of MedMNIST, for tests, demonstrations and offline work.

A film is drawn in body coordinates: x grows from the patient's right (left edge of the film) to the
patient's left, y from the neck to the abdomen, both about -1..1. Density (0 air, 1 bone) is bright,
as on a radiograph. Everything is vectorised over films: scalars of a film have the shape (n, 1, 1).
Prevalences follow ChestX-ray14 (Wang et al. 2017, arXiv:1705.02315) as cut by MedMNIST v2
(Yang et al. 2023, doi:10.1038/s41597-022-01721-8). No phantom stands for a patient.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
from scipy.special import ndtri

from stages.lib.errors import UserError

Span = tuple[float, float]

LUNG, SOFT, HEART, ABDOMEN = 0.2, 0.52, 0.74, 0.8  # density; air is 0
CHUNK_PIXELS = 2**16  # pixels drawn at once: the fields of a chunk stay in the processor's cache
VISIBLE = 0.3  # a mask covers where a finding has this share of its greatest opacity
DRAWS = 40  # uniform numbers dealt to each film and to each finding of a film


class Dice:
    """Uniform numbers (n films, DRAWS), dealt out column by column. One row a film makes a film
    independent of how many follow it and of the order in which films are drawn."""

    def __init__(self, uniform: np.ndarray):
        self._columns = iter(uniform.T.astype(np.float32)[:, :, None, None])

    def between(self, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
        return low + (high - low) * next(self._columns)

    def side(self) -> np.ndarray:
        """-1 for the patient's right lung, 1 for the left one."""
        return np.where(next(self._columns) < 0.5, np.float32(-1), np.float32(1))

    def happens(self, probability: float) -> np.ndarray:
        return (next(self._columns) < probability).astype(np.float32)


@dataclass(frozen=True)
class Habitus:
    """Build of the patients: ranges of body measures, in body coordinates."""

    lung_width: Span = (0.30, 0.36)
    lung_height: Span = (0.76, 0.90)
    dome: Span = (0.40, 0.56)
    heart: Span = (0.22, 0.29)
    breast: Span = (-0.10, 0.16)  # density of its shadow; none below 0


@dataclass(frozen=True)
class Acquisition:
    """How the films are taken: ranges of framing (magnification, degrees), exposure and noise."""

    zoom: Span = (0.97, 1.14)
    shift: Span = (-0.08, 0.08)
    tilt: Span = (-6, 6)
    gain: Span = (0.80, 1.10)
    veil: Span = (-0.05, 0.12)
    gamma: Span = (0.75, 1.30)
    noise: Span = (0.01, 0.035)
    blur: Span = (0.0, 0.7)


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


@dataclass
class Film:
    """Fields (n, grid, grid) of the films being drawn; `wall` and `dome` are signed distances into
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

    def take(self, rows: np.ndarray) -> "Film":
        return Film(*(getattr(self, field.name)[rows] for field in fields(self)))


def _ramp(distance: np.ndarray, edge: float = 0.06) -> np.ndarray:
    """1 inside (distance > 0), 0 outside, linear over an edge of the given width."""
    value = distance / edge
    value += 0.5
    return value.clip(0, 1, out=value)


def _disc(x, y, radius_x, radius_y) -> np.ndarray:
    """Signed distance (approximately) into an ellipse about the origin."""
    return (1 - np.sqrt((x / radius_x) ** 2 + (y / radius_y) ** 2)) * np.minimum(radius_x, radius_y)


def _glow(x, y, radius_x, radius_y) -> np.ndarray:
    """A soft spot, exp(-r^2) but of finite reach: denormal tails would be slow to compute with."""
    near = 1 - 0.25 * ((x / radius_x) ** 2 + (y / radius_y) ** 2)
    return near.clip(0) ** 2 * near**2


def _texture(rng: np.random.Generator, n: int, knots: int, grid: int) -> np.ndarray:
    """Smooth random fields (n, grid, grid): knots x knots normal numbers, blended."""
    position = (np.arange(grid, dtype=np.float32) + 0.5) / grid * (knots - 1)
    weight = _glow(position[:, None] - np.arange(knots, dtype=np.float32), 0, 0.8, 1)
    weight /= np.sqrt((weight**2).sum(1, keepdims=True))
    return weight @ (rng.standard_normal((n, knots, knots), np.float32) @ weight.T)


# ------------------------------------------------------------------------------------- anatomy


def _frame(dice: Dice, how: Acquisition, grid: int) -> tuple[np.ndarray, np.ndarray]:
    """Body coordinates x, y (n, grid, grid) of the pixels of rotated, shifted, magnified films."""
    axis = (np.arange(grid, dtype=np.float32) + 0.5) * (2 / grid) - 1
    column, row = axis[None, None, :], axis[None, :, None]
    angle = np.deg2rad(dice.between(*how.tilt))
    zoom = dice.between(*how.zoom)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    x = (cos * column + sin * row) * dice.between(0.95, 1.06) + dice.between(*how.shift)
    return x, cos * row - sin * column + dice.between(*how.shift)


def _anatomy(dice: Dice, build: Habitus, x, y, cloud, grain) -> Film:
    """Films without ribs and without findings."""
    across = np.abs(x - dice.between(-0.03, 0.03) * y)
    width, height = dice.between(*build.lung_width), dice.between(*build.lung_height)
    wall = _disc(across - 0.41 - 0.07 * y, y - 0.12, width, height)
    arch = dice.between(0.5, 1.3) * (across - 0.36) ** 2 - 0.06 * _ramp(-x, 0.3)
    dome = dice.between(*build.dome) + arch - y
    size, lean = dice.between(*build.heart), dice.between(0.45, 0.8)
    along, aside = x - dice.between(0.08, 0.17), y - dice.between(0.18, 0.28)
    heart = _disc(along + lean * aside, aside - lean * along, size * 1.45, size)
    lung = _ramp(np.minimum(wall, dome)) * (1 - _ramp(heart))
    density = _tissue(dice, x, y, across, dome) * (1 - lung) + LUNG * lung
    density += _ramp(heart) * (HEART - density)
    hila = _glow(across - 0.17, y + 0.03, 0.13, 0.2) * dice.between(0.08, 0.28)
    vessels = 0.035 * grain * _ramp(0.42 - across, 0.6)
    breast = _glow(across - 0.42, y - 0.3, 0.3, 0.2) * dice.between(*build.breast).clip(0)
    density += lung * (hila + vessels) + breast
    return Film(x, y, wall, dome, heart, lung, density, cloud, grain)


def _tissue(dice: Dice, x, y, across, dome) -> np.ndarray:
    """Density of everything but lungs and heart: body, mediastinum, abdomen, stomach bubble."""
    shoulder = y - dice.between(-0.92, -0.8) - dice.between(0.2, 0.45) * across**2
    outline = np.minimum(dice.between(0.88, 1.08) - across, shoulder)
    neck = 0.22 - across
    tissue = SOFT + (ABDOMEN - SOFT) * _ramp(-dome, 0.12)
    knob = dice.between(0.02, 0.08) * _glow(x - 0.2, y + 0.32, 0.3, 0.12) * (x > 0)
    waist = 0.09 * _ramp(y - 0.02, 0.5)
    middle = _ramp(dice.between(0.09, 0.14) + knob + waist - across)
    tissue += middle * (HEART - tissue)
    bubble = _disc(x - 0.38, y - dice.between(0.58, 0.7), 0.16, dice.between(0.05, 0.12))
    tissue -= _ramp(bubble) * dice.between(-0.2, 0.35).clip(0)
    return tissue * _ramp(np.maximum(outline, neck))


def _bones(dice: Dice, film: Film) -> np.ndarray:
    """Density that ribs, clavicles and spine add over whatever lies behind them."""
    across = np.abs(film.x)
    phase = film.y * dice.between(5.5, 7.5) + dice.between(0, 1) - 3 * (across - 0.4) ** 2
    cage = _ramp(np.minimum(film.wall + 0.08, 0.5 * film.dome + 0.08), 0.1)
    rib = np.sin(2 * np.pi * phase) * cage * _ramp(across - 0.1, 0.2)
    slope = film.y + dice.between(0.5, 0.62) + dice.between(0.1, 0.3) * across
    clavicle = _ramp(0.035 - np.abs(slope)) * _ramp(0.62 - across, 0.1)
    spine = _ramp(0.07 - across) * _ramp(film.dome + 0.2, 0.2)
    strength = dice.between(0.015, 0.06), dice.between(0.05, 0.2), dice.between(0.02, 0.12)
    return rib * strength[0] + clavicle * strength[1] + spine * strength[2]


# ------------------------------------------------------------------- findings: opacity 0..1


def _beside(film: Film, side: np.ndarray) -> np.ndarray:
    """1 in the half of the body that the side belongs to."""
    return _ramp(film.x * side, 0.1)


def _spot(film: Film, dice: Dice) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates about a point within one lung, clear of the heart."""
    side = dice.side()
    height = dice.between(-0.42, 0.18 - 0.08 * side)
    across = dice.between(0.28, 0.51) + 0.07 * height + 0.03 * (1 + side)
    return film.x - side * across, film.y - height


def _lobe(film: Film, dice: Dice) -> np.ndarray:
    """A dense region of one lung with ragged borders."""
    x, y = _spot(film, dice)
    border = _disc(x, y, dice.between(0.20, 0.32), dice.between(0.22, 0.38)) + 0.05 * film.cloud
    return _ramp(border, 0.12) * film.lung * dice.between(0.35, 0.9)


def _haze(film: Film, dice: Dice) -> np.ndarray:
    """A faint, patchy veil over a large part of one lung or of both."""
    reach = dice.between(0.26, 0.42)
    first, second = (_glow(*_spot(film, dice), reach, reach) for _ in range(2))
    veil = np.maximum(first, second * dice.happens(0.5))
    return veil * (0.75 + 0.25 * film.cloud).clip(0.2, 1) * film.lung * dice.between(0.25, 0.6)


def _pneumonia(film: Film, dice: Dice) -> np.ndarray:
    """Lobar (dense, one region), bronchial (two regions) or interstitial (a veil)."""
    kind = dice.between(0, 1)
    lobe, other, veil = _lobe(film, dice), _lobe(film, dice), _haze(film, dice)
    return np.where(kind < 0.35, lobe, np.where(kind < 0.6, np.maximum(lobe, other), veil))


def _atelectasis(film: Film, dice: Dice) -> np.ndarray:
    """A plate of collapsed lung above a diaphragm that is drawn upwards."""
    side = dice.side()
    height = film.dome + dice.between(-0.4, 0.4) * (film.x - side * 0.4)
    plate = _ramp(dice.between(0.04, 0.08) - np.abs(height - dice.between(0.15, 0.4)))
    raised = _ramp(dice.between(0.02, 0.14) - film.dome)
    opacity = np.maximum(plate * dice.between(0.4, 0.9), raised)
    return opacity * film.lung * _beside(film, side)


def _cardiomegaly(film: Film, dice: Dice) -> np.ndarray:
    """A wider heart: what it takes from the lungs."""
    return _ramp(film.heart + dice.between(0.06, 0.14)) * film.lung


def _effusion(film: Film, dice: Dice) -> np.ndarray:
    """Fluid that fills the costophrenic angle and climbs the wall: a meniscus."""
    side = dice.side()
    climb = dice.between(0.1, 0.35) * _ramp(0.12 - film.wall, 0.24)
    depth = dice.between(-0.04, 0.35) + climb - film.dome
    return _ramp(depth, 0.08) * film.lung * _beside(film, side) * dice.between(0.6, 1)


def _ball(film: Film, dice: Dice, smallest: float, largest: float) -> np.ndarray:
    """A round opacity with a sharp border: a nodule if small, a mass if large."""
    radius = dice.between(smallest, largest)
    ball = _disc(*_spot(film, dice), radius, radius * dice.between(0.8, 1.2))
    return _ramp(ball) * film.lung * dice.between(0.5, 1)


def _pneumothorax(film: Film, dice: Dice) -> np.ndarray:
    """Air between wall and lung: a black rim without markings, lateral and apical."""
    side = dice.side()
    lateral = np.abs(film.x) - 0.36 - 0.3 * (film.y + 0.3).clip(-0.5, 0)
    rim = _ramp(dice.between(0.06, 0.16) - film.wall) * _ramp(lateral, 0.1)
    return rim * _ramp(film.dome - 0.1) * film.lung * _beside(film, side)


def _edema(film: Film, dice: Dice) -> np.ndarray:
    """Bat wings: haze about both hila."""
    reach = dice.between(0.2, 0.34)
    wings = _glow(np.abs(film.x) - 0.24, film.y - 0.02, reach, reach * 1.2)
    return wings * (0.85 + 0.15 * film.cloud).clip(0, 1) * film.lung * dice.between(0.4, 0.8)


def _emphysema(film: Film, dice: Dice) -> np.ndarray:
    """Over-inflated: black lungs down to a flat, low diaphragm."""
    inflated = _ramp(film.wall) * _ramp(film.dome + dice.between(0.06, 0.16))
    return inflated * (1 - _ramp(film.heart)) * dice.between(0.5, 0.9)


def _fibrosis(film: Film, dice: Dice) -> np.ndarray:
    """A net of fine lines at both bases."""
    net = _ramp(0.4 - np.abs(film.grain), 0.5)
    base = _ramp(dice.between(0.3, 0.55) - film.dome, 0.25)
    return net * base * film.lung * dice.between(0.45, 0.85)


def _pleural(film: Film, dice: Dice) -> np.ndarray:
    """Thickened pleura: a bright rim along the lateral wall."""
    side = dice.side()
    along = dice.between(0.2, 0.45) - np.abs(film.y - dice.between(-0.25, 0.25))
    rim = _ramp(dice.between(0.05, 0.1) - film.wall) * _ramp(np.abs(film.x) - 0.42, 0.1)
    return rim * _ramp(along, 0.2) * film.lung * _beside(film, side) * dice.between(0.6, 1)


def _hernia(film: Film, dice: Dice) -> np.ndarray:
    """A sac of stomach, with its air, before the heart's shadow."""
    radius, lateral = dice.between(0.13, 0.22), dice.between(0.0, 0.15)
    return _ramp(_disc(film.x - lateral, film.y - dice.between(0.24, 0.34), radius, radius))


@dataclass(frozen=True)
class Finding:
    prevalence: float  # share of labelled films in ChestMNIST's training split
    density: float  # of the tissue where opacity is 1
    opacity: Callable[[Film, Dice], np.ndarray]


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


def _add_findings(film: Film, truth, names, conspicuity: Span, uniform) -> Iterator[tuple]:
    """Draw the findings of `truth` (n, k) into the films' density; yields, for each finding, its
    bit, the rows of the films that have it and where it lies in them, as opacity 0..1."""
    for bit, name in enumerate(names):
        rows = np.flatnonzero(truth[:, bit])
        if rows.size:
            part, dice = film.take(rows), Dice(uniform[rows, bit])
            opacity = dice.between(*conspicuity) * ATLAS[name].opacity(part, dice)
            film.density[rows] += opacity * (ATLAS[name].density - part.density)
            yield bit, rows, opacity


# ------------------------------------------------------------------------------------- exposure


def _expose(density: np.ndarray, dice: Dice, how: Acquisition, noise: np.ndarray) -> np.ndarray:
    """Films (n, size, size) uint8 of densities: blur, exposure, vignette, collimation, noise."""
    padded = np.pad(density, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    soft = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 16
    image = density + dice.between(*how.blur) * (soft - density)
    image = dice.between(*how.veil) + dice.between(*how.gain) * image
    axis = np.linspace(-1, 1, density.shape[-1], dtype=np.float32)
    column, row = axis[None, None, :], axis[None, :, None]
    image = image * (1 - dice.between(0, 0.15) * (column**2 + row**2))
    image = image.clip(0, 1) ** dice.between(*how.gamma)
    image = image + dice.between(*how.noise) * noise
    mark = np.maximum(np.abs(column + 0.8 * dice.side()), np.abs(row + dice.between(0.75, 0.85)))
    image = np.maximum(image, 0.9 * dice.happens(0.3) * (mark < 0.07))
    image = image * _ramp(dice.between(0.9, 1.4) - np.abs(column), 0.04)
    return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _shrink(field: np.ndarray, size: int) -> np.ndarray:
    """Mean over the sub-pixels of each pixel."""
    step = field.shape[-1] // size
    return sum(field[:, i::step, j::step] for i in range(step) for j in range(step)) / step**2


# ----------------------------------------------------------------------------------- collections


def _chest_truth(rng: np.random.Generator, n: int, split: str) -> np.ndarray:
    """Findings (n, 14) bool at the prevalences of the atlas. The ill have several at a time (a
    fifth of the liability is common to all findings): so about 46 % of the films have any."""
    noise = rng.standard_normal((n, 1 + len(FINDINGS)))
    liability = np.sqrt(0.2) * noise[:, :1] + np.sqrt(0.8) * noise[:, 1:]
    return liability > -ndtri([finding.prevalence for finding in ATLAS.values()])


def _pneumonia_truth(rng: np.random.Generator, n: int, split: str) -> np.ndarray:
    """Pneumonia or not (n, 1) bool, shuffled, at the shares of PneumoniaMNIST's splits."""
    share = 0.625 if split == "test" else 0.742
    return rng.permuted(np.arange(n) < round(share * n))[:, None]


@dataclass(frozen=True)
class Collection:
    names: tuple[str, ...]  # the findings drawn: bit k of a mask is names[k]
    truth: Callable[[np.random.Generator, int, str], np.ndarray]
    mixed_up: float  # share of the labels that belong to another film
    conspicuity: Span  # opacity of findings: 0 invisible, 1 as the atlas draws them
    build: Habitus
    test: Acquisition  # of the test split; train and val are taken as ROUTINE


COLLECTIONS = {
    "chestmnist": Collection(FINDINGS, _chest_truth, 0.12, (0.1, 0.75), ADULT, ROUTINE),
    "pneumoniamnist": Collection(
        ("pneumonia",), _pneumonia_truth, 0.0, (0.2, 0.9), CHILD, ELSEWHERE
    ),
}


def _labels(rng: np.random.Generator, truth: np.ndarray, mixed_up: float) -> np.ndarray:
    """Labels (n, k) uint8 as text-mined from reports: some are those of the film before, which
    misses findings and adds others while prevalences stay."""
    before = np.concatenate([truth[:1], truth[:-1]])
    return np.where(rng.random(truth.shape) < mixed_up, before, truth).astype(np.uint8)


def _draw(kind: Collection, how: Acquisition, truth, uniform, textures, size: int):
    """Densities (n, size, size) and masks (n, size, size) uint16 of films with these findings."""
    dice = Dice(uniform[:, 0])
    film = _anatomy(dice, kind.build, *_frame(dice, how, textures[0].shape[-1]), *textures)
    masks = np.zeros((len(truth), size, size), np.uint16)
    drawn = _add_findings(film, truth, kind.names, kind.conspicuity, uniform[:, 2:])
    for bit, rows, opacity in drawn:
        small = _shrink(opacity, size)
        core = small > VISIBLE * small.max((1, 2), keepdims=True)
        masks[rows] |= core.astype(np.uint16) << bit
    return _shrink(film.density + _bones(dice, film), size), masks


def _films(kind, how: Acquisition, truth, uniform, streams, size: int) -> Iterator[tuple]:
    """Images and masks of consecutive films, a few at a time."""
    clouds, grains, speckles = streams
    grid = size * (2 if size < 64 else 1)
    step = max(1, CHUNK_PIXELS // grid**2)
    for start in range(0, len(truth), step):
        some = slice(start, start + step)
        count = len(truth[some])
        textures = _texture(clouds, count, 7, grid), _texture(grains, count, 29, grid)
        density, masks = _draw(kind, how, truth[some], uniform[some], textures, size)
        speckle = speckles.standard_normal((count, size, size), np.float32)
        yield _expose(density, Dice(uniform[some, 1]), how, speckle), masks


def draw(
    dataset: str, split: str, n: int, seed: int, size: int = 28
) -> tuple[np.ndarray, Iterator[tuple[np.ndarray, np.ndarray]]]:
    """n films of one split of "chestmnist" or "pneumoniamnist", with sides of `size` pixels.

    Returns the labels uint8 (n, 14) or (n, 1), and an iterator over images uint8 (few, size, size)
    and masks uint16 (few, size, size), which hold the truth that labels only tell with errors: bit
    k is set where FINDINGS[k] lies (bit 0 for pneumonia in "pneumoniamnist"). Together they are n
    films, which need not fit into memory. A film depends on seed, dataset, split and its own place
    in the split alone, but for the shuffled order of pneumoniamnist's labels. Raises UserError.
    """
    if dataset not in COLLECTIONS:
        known = ", ".join(COLLECTIONS)
        raise UserError(f"no phantom of dataset {dataset!r}: choose one of {known}")
    kind = COLLECTIONS[dataset]
    rng = np.random.default_rng([seed, *dataset.encode(), *split.encode()])
    # a stream for each thing drawn, so that no film depends on how many are drawn at once
    patients, errors, layout, *streams = rng.spawn(6)
    truth = kind.truth(patients, n, split)
    uniform = layout.random((n, 2 + len(kind.names), DRAWS), np.float32)
    how = kind.test if split == "test" else ROUTINE
    labels = _labels(errors, truth, kind.mixed_up)
    return labels, _films(kind, how, truth, uniform, streams, size)


def archive(
    dataset: str, sizes: dict[str, int], seed: int, size: int = 28
) -> dict[str, np.ndarray]:
    """What `draw` gives, in memory and in the layout of MedMNIST's npz files: for each split, of
    which `sizes` gives the number of films, {split}_images, {split}_labels and {split}_masks."""
    arrays = {}
    for split, n in sizes.items():
        labels, films = draw(dataset, split, n, seed, size)
        images, masks = (np.concatenate(parts) for parts in zip(*films, strict=True))
        arrays |= {f"{split}_images": images, f"{split}_labels": labels, f"{split}_masks": masks}
    return arrays
