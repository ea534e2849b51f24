"""Insertion on models made by hand, of which it is known where they look."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from chestflow.explain import insertion
from chestflow.explain.map_baselines import centred

PATCH = (slice(None), slice(4, 10), slice(16, 22))
DARK = torch.full((28, 28), 20, dtype=torch.uint8)


class Brightness(nn.Module):
    """P(target 1) is the mean brightness, from 0 to 1, of a part of the image."""

    def __init__(self, part: tuple = (slice(None),)) -> None:
        super().__init__()
        self.part = part

    def forward(self, images: Tensor) -> Tensor:
        bright = (images[:, 0] + 1)[self.part].flatten(1).mean(dim=1) / 2
        return torch.stack([1 - bright, bright], dim=1).clamp_min(1e-12).log()


def with_bright_patch(n: int) -> tuple[Tensor, np.ndarray]:
    """Dark images with a bright patch, and maps of where it is."""
    images, maps = DARK.repeat(n, 1, 1), np.zeros((n, 28, 28), np.float32)
    images[PATCH], maps[PATCH] = 240, 1
    return images, maps


def test_a_map_of_what_the_model_looks_at_beats_a_blob_in_the_middle_and_its_inverse():
    images, maps = with_bright_patch(12)
    blob = np.broadcast_to(centred(28), maps.shape)
    right, fixed, wrong = insertion.areas(
        Brightness(PATCH), images, np.stack([maps, blob, 1 - maps]), 1, DARK
    )
    assert (right > fixed).all() and (fixed > wrong).all()


def test_the_areas_of_a_linear_model_by_hand(monkeypatch):
    """Upper half white, lower half black, inserted into .2: as the upper half is inserted, the
    brightness rises from .2 to .6, then, with the lower half, falls to .5."""
    monkeypatch.setattr(insertion, "STEPS", 4)
    images = torch.zeros(1, 8, 8, dtype=torch.uint8)
    images[:, :4] = 255
    upper = (images.numpy() > 0).astype(np.float32)
    grey = torch.full((8, 8), 51, dtype=torch.uint8)
    diseased, healthy = (
        insertion.areas(Brightness(), images, upper[None], target, grey).item() for target in (1, 0)
    )
    assert diseased == pytest.approx((0.4 + 0.55) / 2, abs=1e-6)
    assert healthy == pytest.approx(1 - diseased, abs=1e-6)


def test_the_strongest_map_of_all_is_the_one_to_beat():
    rng = np.random.default_rng(0)
    areas = rng.random((3, 40))
    fixed = {"weak": areas - 0.2, "strong": areas, "middling": areas - 0.1}
    own = {"better": areas + 0.05 + 0.01 * rng.random(areas.shape), "worse": areas - 0.05}
    report = insertion.report(own, fixed)
    assert report["strongest"] == "strong" and report["n"] == 40
    assert report["difference"]["better"]["ci95"][0] > 0.05
    assert report["difference"]["worse"]["difference"] == pytest.approx(-0.05)


def test_ties_are_broken_by_other_maps_and_every_pixel_has_its_rank():
    maps = np.array([[[0.0, 1.0], [1.0, 0.5]]])
    ties = np.array([[[0.9, 0.1], [0.2, 0.3]]])
    assert insertion.ranks(maps, ties).tolist() == [[[3, 1], [0, 2]]]
    empty = insertion.ranks(np.zeros((2, 28, 28)), insertion.random_maps(2, 28, 0))
    assert (np.sort(empty.reshape(2, -1), axis=1) == np.arange(784)).all()
    assert not np.array_equal(*empty)


def test_random_maps_are_as_smooth_as_gradcams_and_reproducible():
    maps, again, others = (insertion.random_maps(50, 28, seed) for seed in (3, 3, 4))
    assert maps.shape == (50, 28, 28) and maps.min() >= 0 and maps.max() <= 1
    assert np.array_equal(maps, again) and not np.array_equal(maps, others)
    assert np.abs(np.diff(maps, axis=2)).max() <= 0.25 + 1e-6, "4 pixels from cell to cell"


def test_the_healthy_mean_is_of_the_healthy_alone():
    images = np.stack([np.full((4, 4), value, np.uint8) for value in (10, 201, 20, 30)])
    mean = insertion.healthy_mean(images, np.array([0, 1, 0, 0]))
    assert mean.dtype == torch.uint8 and torch.equal(mean, torch.full_like(mean, 20))
