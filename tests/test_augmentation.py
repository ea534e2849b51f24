"""Augmentation changes each image independently, only a little, and reproducibly."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from chestflow.models.inference import standardise
from chestflow.training import augmentation

STEPS = tuple(augmentation.STEPS)
RANGES = (
    "ROTATION",
    "SCALE",
    "SHIFT",
    "GAMMA",
    "CONTRAST",
    "BRIGHTNESS",
    "SHARPNESS",
    "FRAME",
    "STRETCH",
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def images(splits) -> torch.Tensor:
    return standardise(torch.from_numpy(splits["train"].images[:40]))


@pytest.fixture
def only(monkeypatch):
    """Set all ranges to 0 but the given ones."""

    def set_ranges(**ranges):
        for name in RANGES:
            monkeypatch.setattr(augmentation, name, ranges.get(name, 0.0))

    return set_ranges


def test_shape_and_range(images):
    augmented = augmentation.augment(images, STEPS, seeded())
    assert augmented.shape == images.shape and augmented.dtype == images.dtype
    assert augmented.isfinite().all()
    furthest = math.exp(augmentation.CONTRAST) + augmentation.BRIGHTNESS
    assert augmentation.augment(images, ["move", "expose"], seeded()).abs().max() <= furthest


def test_steps_run_in_the_given_order_and_no_steps_change_nothing(images):
    assert augmentation.augment(images, [], seeded()) is images
    generator = seeded()
    moved = augmentation.move(images, generator)
    both = augmentation.expose(moved, generator)
    assert torch.equal(augmentation.augment(images, ["move", "expose"], seeded()), both)


def test_sharpening_ranges_from_the_blurred_image_to_the_opposite(images, monkeypatch):
    """Against SciPy's binomial filter, up to rounding."""
    blurred = ndimage.convolve(
        images[:, 0].numpy(), np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None] / 256, mode="nearest"
    )
    for amount, expected in ((-1.0, blurred), (1.0, 2 * images[:, 0].numpy() - blurred)):
        monkeypatch.setattr(augmentation, "_uniform", lambda n, *_, a=amount: torch.full((n,), a))
        found = augmentation.sharpen(images, seeded())[:, 0].numpy()
        assert found[:, 2:-2, 2:-2] == pytest.approx(expected[:, 2:-2, 2:-2], abs=1e-5)
        assert np.abs(found - expected).max() < 0.2  # two passes repeat the border twice


def test_an_augmented_image_still_shows_the_same_chest(images):
    for steps, least in ((["move", "expose"], 0.7), (["reframe", "sharpen", "expose"], 0.6)):
        augmented = augmentation.augment(images, steps, seeded())
        pairs = zip(images.flatten(1), augmented.flatten(1), strict=True)
        alike = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in pairs])
        assert alike.median() > least and alike.max() < 0.9999


def test_the_input_images_are_not_modified(images):
    before = images.clone()
    augmentation.augment(images, STEPS, seeded())
    assert torch.equal(images, before)


def test_same_generator_same_images(images):
    one, two, other = (augmentation.augment(images, STEPS, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_the_generator_advances_between_calls(images):
    generator = seeded()
    one, two = (augmentation.augment(images, STEPS, generator) for _ in range(2))
    assert not torch.equal(one, two)


@pytest.mark.parametrize("change", augmentation.STEPS.values())
def test_each_image_is_changed_independently(images, change):
    twins = images[:1].repeat(8, 1, 1, 1)
    changed = change(twins, seeded()).flatten(1)
    assert torch.cdist(changed, changed).fill_diagonal_(1).min() > 0.01


def test_zero_ranges_change_nothing(images, only):
    only()
    augmented = augmentation.augment(images, STEPS, seeded())
    assert augmented.numpy() == pytest.approx(images.numpy(), abs=1e-4)


@pytest.mark.parametrize("name", RANGES)
def test_every_range_changes_something(images, only, name):
    only(**{name: getattr(augmentation, name)})
    assert (augmentation.augment(images, STEPS, seeded()) - images).abs().mean() > 0.01


def test_the_border_is_repeated_where_an_image_is_shifted(only):
    """White images stay white: nothing black comes in."""
    only(SHIFT=augmentation.SHIFT, ROTATION=augmentation.ROTATION, SCALE=augmentation.SCALE)
    white = torch.ones(5, 1, 28, 28)
    assert augmentation.move(white, seeded()).numpy() == pytest.approx(white.numpy(), abs=1e-5)


def test_reframing_stretches(only):
    """A disc becomes an ellipse, wider or higher by up to STRETCH, and its size stays."""
    only(STRETCH=augmentation.STRETCH)
    place = (torch.arange(64.0) - 31.5) / 32
    disc = ((place[:, None] ** 2 + place**2) < 0.25).float().expand(200, 1, 64, 64)
    shown = augmentation.reframe(disc, seeded())[:, 0]
    spread = [(shown * axis**2).sum((1, 2)) for axis in (place, place[:, None])]
    stretched = (spread[0] / spread[1]).sqrt().log()
    assert 0.8 * augmentation.STRETCH < stretched.abs().max() < augmentation.STRETCH + 0.02
    assert stretched.min() < 0 < stretched.max()
    assert shown.sum((1, 2)).numpy() == pytest.approx(disc[0].sum().item(), rel=0.03)


def test_shifts_stay_within_their_range(only):
    """A bright dot moves, but no further than SHIFT of half the side."""
    only(SHIFT=augmentation.SHIFT)
    dots = torch.zeros(200, 1, 28, 28)
    dots[:, :, 14, 14] = 1
    moved = augmentation.move(dots, seeded())[:, 0]
    place = torch.arange(28.0)
    for profile in (moved.sum(dim=1), moved.sum(dim=2)):
        distance = ((profile * place).sum(dim=1) / profile.sum(dim=1) - 14).abs()
        assert 0.8 * augmentation.SHIFT * 14 < distance.max() <= augmentation.SHIFT * 14 + 1e-3


def test_the_generator_lives_on_the_cpu_whatever_the_device(images):
    """On `meta`, which has shapes only, nothing could be drawn: the numbers come from elsewhere."""
    generator = seeded()
    assert augmentation.augment(images.to("meta"), STEPS, generator).device.type == "meta"
    expected = seeded()
    augmentation.augment(images, STEPS, expected)
    assert torch.equal(generator.get_state(), expected.get_state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_images(images):
    on_gpu = augmentation.augment(images.cuda(), STEPS, seeded()).cpu().numpy()
    assert on_gpu == pytest.approx(augmentation.augment(images, STEPS, seeded()).numpy(), abs=1e-3)
