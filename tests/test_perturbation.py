"""Deletion and insertion on models made by hand, of which it is known where they look."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from chestflow.explain import perturbation
from chestflow.models.cnn import Classifier
from chestflow.models.inference import standardise

PATCH = (slice(None), slice(4, 10), slice(16, 22))
DARK = torch.full((28, 28), 20, dtype=torch.uint8)


class Brightness(nn.Module):
    """P(target 1) is the mean brightness, from 0 to 1, of a part of the image."""

    def __init__(self, part: tuple = (slice(None),)) -> None:
        super().__init__()
        self.part = part
        self.seen: list[Tensor] = []

    def __deepcopy__(self, memo: dict) -> "Brightness":
        return self  # what is asked of the copy is to be seen here

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images[:, 0])
        bright = (images[:, 0] + 1)[self.part].flatten(1).mean(dim=1) / 2
        return torch.stack([1 - bright, bright], dim=1).clamp_min(1e-12).log()


def with_bright_patch(n: int) -> tuple[Tensor, np.ndarray]:
    """Dark images with a bright patch, and maps of where it is."""
    images = DARK.repeat(n, 1, 1)
    images[PATCH] = 240
    maps = np.zeros((n, 28, 28), np.float32)
    maps[PATCH] = 1
    return images, maps


def test_a_map_of_what_the_model_looks_at_beats_random_maps_and_its_own_inverse():
    images, maps = with_bright_patch(12)
    model = Brightness(PATCH)
    deletion, insertion = perturbation.deletion_insertion(model, images, maps, 1, DARK)
    inverse = perturbation.deletion_insertion(model, images, 1 - maps, 1, DARK)
    assert (deletion < inverse[0]).all() and (insertion > inverse[1]).all()
    found = perturbation.beside_random_maps(model, images, maps, 1, DARK, draws=5)
    assert (found["deletion_difference"] < 0).all() and (found["insertion_difference"] > 0).all()
    wrong = perturbation.beside_random_maps(model, images, 1 - maps, 1, DARK, draws=5)
    assert wrong["deletion_difference"].mean() > 0 > wrong["insertion_difference"].mean()
    assert np.array_equal(found["deletion"], deletion)


def test_the_areas_of_a_linear_model_by_hand():
    """Upper half white, lower half black, replaced by .2: as the upper half is deleted, the
    brightness falls from .5 to .1, then, with the lower half, rises to .2. Insertion: .2, .6, .5.
    """
    images = torch.zeros(1, 8, 8, dtype=torch.uint8)
    images[:, :4] = 255
    upper = (images.numpy() > 0).astype(np.float32)
    given = upper, 1, torch.full((8, 8), 51, dtype=torch.uint8)
    deletion, insertion = perturbation.deletion_insertion(Brightness(), images, *given, steps=4)
    assert deletion == pytest.approx([(0.3 + 0.15) / 2], abs=1e-6)
    assert insertion == pytest.approx([(0.4 + 0.55) / 2], abs=1e-6)
    of_healthy = perturbation.deletion_insertion(Brightness(), images, upper, 0, given[2], steps=4)
    assert of_healthy[0] == pytest.approx(1 - deletion, abs=1e-6)


def test_an_image_without_contrast_has_flat_curves():
    images = torch.full((2, 28, 28), 51, dtype=torch.uint8)
    maps = perturbation.random_maps(2, 7, 28, seed=1)
    for area in perturbation.deletion_insertion(Brightness(), images, maps, 1, images[0]):
        assert area == pytest.approx([0.2, 0.2], abs=1e-6)


@pytest.mark.parametrize("side", [28, 64])
def test_the_network_sees_the_image_and_what_replaces_it(side):
    images = torch.randint(0, 256, (3, side, side), dtype=torch.uint8)
    maps = perturbation.random_maps(3, 7, side, seed=1)
    replacement = torch.randint(0, 256, (side, side), dtype=torch.uint8)
    model = Brightness()
    perturbation.deletion_insertion(model, images, maps, 1, replacement, steps=4)
    whole, none = (standardise(each)[:, 0] for each in (images, replacement[None]))
    assert torch.equal(model.seen[0], whole) and torch.equal(model.seen[1], none)
    deleted, inserted = model.seen[2::2], model.seen[3::2]
    assert len(deleted) == len(inserted) == 3
    order = perturbation.ranks(maps, np.zeros_like(maps))
    for step, (one, other) in enumerate(zip(deleted, inserted), start=1):
        first = torch.from_numpy(order < round(step * side**2 / 4))
        assert torch.equal(one, torch.where(first, none, whole))
        assert torch.equal(other, torch.where(first, whole, none))


def test_empty_maps_score_like_random_maps_in_expectation():
    images, maps = with_bright_patch(300)
    model = Brightness(PATCH)
    found = perturbation.beside_random_maps(model, images, np.zeros_like(maps), 1, DARK, draws=3)
    for name in ("deletion", "insertion"):
        difference = found[f"{name}_difference"]
        assert abs(difference.mean()) < 3 * difference.std() / np.sqrt(300)
        assert difference.std() > 0.01


def test_ties_are_broken_by_other_maps_and_the_order_is_complete():
    maps = np.array([[[0.0, 1.0], [1.0, 0.5]]])
    ties = np.array([[[0.9, 0.1], [0.2, 0.3]]])
    assert perturbation.ranks(maps, ties).tolist() == [[[3, 1], [0, 2]]]
    empty = perturbation.ranks(np.zeros((2, 28, 28)), perturbation.random_maps(2, 7, 28, 0))
    assert (np.sort(empty.reshape(2, -1), axis=1) == np.arange(784)).all()
    assert not np.array_equal(*empty)


def test_random_maps_are_smooth_and_reproducible():
    maps = perturbation.random_maps(50, 7, 28, seed=3)
    assert maps.shape == (50, 28, 28) and maps.min() >= 0 and maps.max() <= 1
    assert np.array_equal(maps, perturbation.random_maps(50, 7, 28, seed=3))
    assert not np.array_equal(maps, perturbation.random_maps(50, 7, 28, seed=4))
    assert np.abs(np.diff(maps, axis=2)).max() <= 0.25 + 1e-6, "4 pixels from cell to cell"


def test_the_healthy_mean_is_of_the_healthy_alone():
    images = np.stack([np.full((4, 4), value, np.uint8) for value in (10, 201, 20, 30)])
    mean = perturbation.healthy_mean(images, np.array([0, 1, 0, 0]))
    assert mean.dtype == torch.uint8 and torch.equal(mean, torch.full_like(mean, 20))


@pytest.mark.parametrize("side", [28, 224])
def test_results_are_the_same_each_time_and_the_network_is_left_as_it_was(side):
    torch.manual_seed(0)
    model = Classifier().eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images = torch.randint(0, 256, (2, side, side), dtype=torch.uint8)
    maps = perturbation.random_maps(2, 7, side, seed=9)
    one, two = (
        perturbation.beside_random_maps(model, images, maps, 1, images[0], draws=2, steps=3)
        for _ in range(2)
    )
    assert one.keys() == two.keys() and all(np.array_equal(one[key], two[key]) for key in one)
    assert all(values.shape == (2,) and np.isfinite(values).all() for values in one.values())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
