"""Insertion on models made by hand, of which it is known where they look."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from chestflow.explain import insertion


class Brightness(nn.Module):
    """The probability of disease is the mean brightness, from 0 to 1."""

    def forward(self, images: Tensor) -> Tensor:
        bright = (images + 1).flatten(1).mean(dim=1) / 2
        return torch.stack([1 - bright, bright], dim=1).clamp_min(1e-12).log()


HALVES = np.repeat([1.0, 0.0], 32).reshape(8, 8)  # the upper one is 1


@pytest.mark.parametrize(
    ("maps", "area"), [(HALVES[None], (0.4 + 0.55) / 2), (1 - HALVES, (0.15 + 0.3) / 2)]
)
def test_the_area_of_a_linear_model_by_hand(maps, area, monkeypatch):
    """Upper half white, lower half black, inserted into .2: as the upper half is inserted, the
    brightness rises from .2 to .6, then, with the lower half, falls to .5. The other way round, it
    falls to .1 and rises to .5."""
    monkeypatch.setattr(insertion, "STEPS", 4)
    images = torch.from_numpy(255 * HALVES[None]).byte()
    grey = torch.full((8, 8), 51, dtype=torch.uint8)
    found = insertion.areas(Brightness(), images, maps, grey)
    assert found == pytest.approx([area], abs=1e-6)


def test_the_strongest_map_of_all_is_the_one_to_beat():
    rng = np.random.default_rng(0)
    areas = rng.random((3, 40))
    fixed = {"weak": areas - 0.2, "strong": areas, "middling": areas - 0.1}
    own = {"better": areas + 0.05 + 0.01 * rng.random(areas.shape), "worse": areas - 0.05}
    report = insertion.report(own, fixed)
    assert report["strongest"] == "strong" and report["n"] == 40
    assert report["difference"]["better"]["ci95"][0] > 0.05
    assert report["difference"]["worse"]["difference"] == pytest.approx(-0.05)


def test_ties_are_broken_by_other_maps_as_smooth_as_gradcams():
    maps = np.array([[[0.0, 1.0], [1.0, 0.5]]])
    ties = np.array([[[0.9, 0.1], [0.2, 0.3]]])
    assert insertion.ranks(maps, ties).tolist() == [[[3, 1], [0, 2]]]
    noise = insertion.random_maps(50, 28)
    assert not np.array_equal(noise[0], noise[1])
    assert np.abs(np.diff(noise, axis=2)).max() <= 0.25 + 1e-6, "4 pixels from cell to cell"


def test_the_healthy_mean_is_of_the_healthy_alone():
    images = np.stack([np.full((4, 4), value, np.uint8) for value in (10, 201, 20, 30)])
    mean = insertion.healthy_mean(images, np.array([0, 1, 0, 0]))
    assert mean.dtype == torch.uint8 and torch.equal(mean, torch.full_like(mean, 20))
