"""Augmentation changes each image independently, only a little, and reproducibly."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from chestflow.models.inference import standardise
from chestflow.training import augmentation
from chestflow.training.augmentation import augment

STEPS = tuple(augmentation.STEPS)
RANGES = [name for name, value in vars(augmentation).items() if isinstance(value, float)]


def test_reframe_zooms_in_further_than_out(monkeypatch):
    """A grid of known coordinates comes back larger or smaller by the factor of the zoom."""
    for name in ("ROTATION", "FRAME", "STRETCH"):
        monkeypatch.setattr(augmentation, name, 0.0)
    x = torch.linspace(-1, 1, 28).expand(400, 1, 28, 28)
    factors = 1 / (augmentation.reframe(x, seeded())[:, 0, 0, 14] / x[:, 0, 0, 14])
    assert 0.9 < factors.min() < 0.95 and 1.35 < factors.max() < 1.44


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def images(splits) -> torch.Tensor:
    return standardise(torch.from_numpy(splits["train"].images[:40]))


@pytest.fixture
def only(monkeypatch):
    """Set all ranges to 0 but the named ones."""

    def set_ranges(*kept: str) -> None:
        for name in set(RANGES) - set(kept):
            monkeypatch.setattr(augmentation, name, 0.0)

    return set_ranges


def test_steps_run_in_the_given_order_and_no_steps_change_nothing(images):
    assert augment(images, [], seeded()) is images
    generator = seeded()
    both = augmentation.expose(augmentation.move(images, generator), generator)
    assert torch.equal(augment(images, ["move", "expose"], seeded()), both)
    furthest = math.exp(augmentation.CONTRAST) + augmentation.BRIGHTNESS
    assert both.shape == images.shape and both.abs().max() <= furthest


def test_an_augmented_image_still_shows_the_same_chest(images):
    for steps, least in ((["move", "expose"], 0.7), (["reframe", "sharpen", "expose"], 0.6)):
        pairs = zip(images.flatten(1), augment(images, steps, seeded()).flatten(1))
        correlation = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in pairs])
        assert correlation.median() > least and correlation.max() < 0.9999


def test_the_generator_alone_decides_and_the_input_is_not_modified(images):
    before, generator = images.clone(), seeded()
    one, next_epoch = (augment(images, STEPS, generator) for _ in range(2))
    assert torch.equal(augment(images, STEPS, seeded()), one)
    assert not torch.equal(next_epoch, one)
    assert torch.equal(images, before)


@pytest.mark.parametrize("step", STEPS)
def test_each_image_is_changed_independently(images, step):
    copies = images[:1].repeat(8, 1, 1, 1)
    changed = augment(copies, [step], seeded()).flatten(1)
    assert torch.cdist(changed, changed).fill_diagonal_(1).min() > 0.01


@pytest.mark.parametrize("name", [None, *RANGES])
def test_every_range_changes_something_and_zero_ranges_change_nothing(images, only, name):
    only(name)
    change = (augment(images, STEPS, seeded()) - images).abs()
    assert change.mean() > 0.01 if name else change.max() < 1e-4


@pytest.mark.parametrize("amount", [-1.0, 1.0])
def test_sharpening_ranges_from_the_blurred_image_to_its_opposite(images, monkeypatch, amount):
    """Against SciPy's binomial filter, up to rounding."""
    monkeypatch.setattr(augmentation, "_uniform", lambda n, *_: torch.full((n,), amount))
    binomial = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None] / 256
    plain, sharpened = images[:, 0].numpy(), augmentation.sharpen(images, seeded())[:, 0].numpy()
    blurred = ndimage.convolve(plain, binomial, mode="nearest")
    difference = np.abs(sharpened - (plain + amount * (plain - blurred)))
    assert difference[:, 2:-2, 2:-2].max() < 1e-5
    assert difference.max() < 0.2  # two passes repeat the border twice


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_images(images):
    """The generator lives on the CPU whatever the device."""
    on_gpu = augment(images.cuda(), STEPS, seeded()).cpu().numpy()
    assert on_gpu == pytest.approx(augment(images, STEPS, seeded()).numpy(), abs=1e-3)
