"""Binary labels, films in mapped files, drawing labels."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
import torch

from stages.lib import data
from stages.lib.errors import UserError
from stages.lib.training import Films

ABOUT = data.About("TestMNIST", "phantom", ("healthy", "pneumonia"))


def labels(n: int, positive: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.arange(n) < positive).astype(np.uint8)


def test_any_finding_makes_a_film_positive():
    findings = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]], np.uint8)
    binary = data.binary_labels(findings)
    assert binary.tolist() == [0, 1, 1, 1] and binary.dtype == np.uint8
    assert data.binary_labels(findings[:, :1]).tolist() == [0, 0, 1, 0]


# ----------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("masked", [True, False])
def test_what_is_written_is_mapped(splits, masked, tmp_path):
    written = {
        name: split if masked else data.Split(split.images, split.labels)
        for name, split in splits.items()
    }
    data.write(tmp_path / "new", ABOUT, written)
    for name, split in written.items():
        found = data.read(tmp_path / "new", name)
        for field in ("images", "labels", "masks")[: 3 if masked else 2]:
            array = getattr(found, field)
            assert isinstance(array, np.memmap)
            assert np.array_equal(array, getattr(split, field))
            assert array.dtype == getattr(split, field).dtype
        assert (found.masks is None) == (not masked)
        assert len(found) == len(split)


def test_what_comes_in_parts_is_written_as_if_it_were_whole(splits, tmp_path):
    def parts(array, dtype):
        return data.Parts(array.shape, dtype, (array[i : i + 7] for i in range(0, len(array), 7)))

    for name, split in splits.items():
        images, masks = parts(split.images, np.uint8), parts(split.masks, bool)
        data.write(tmp_path / "parts", ABOUT, {name: data.Split(images, split.labels, masks)})
        data.write(tmp_path / "whole", ABOUT, {name: split})
    for file in (tmp_path / "whole").iterdir():
        assert (tmp_path / "parts" / file.name).read_bytes() == file.read_bytes()


def test_films_are_trained_on_where_they_lie(splits, tmp_path):
    """All of a split, which may be larger than the memory, is never copied, and never changed."""
    data.write(tmp_path, ABOUT, splits)
    everything = np.arange(len(splits["train"]))
    found = data.read(tmp_path, "train")
    images = Films.to(torch.device("cpu"), found[everything]).images
    assert images.data_ptr() == found.images.ctypes.data
    before = (tmp_path / "train_images.npy").read_bytes()
    images[:] = 0
    assert found.images.max() == 0
    assert (tmp_path / "train_images.npy").read_bytes() == before
    for some in (everything[:-1], everything[::-1]):
        assert np.array_equal(found[some].labels, splits["train"].labels[some])


@pytest.mark.parametrize("side", [28, 224, 3000])
def test_blocks_cover_all_films_and_are_alike_in_memory(side):
    images = np.broadcast_to(np.uint8(0), (6000, side, side))
    blocks = list(data.blocks(images))
    assert np.array_equal(np.concatenate([np.arange(6000)[b] for b in blocks]), np.arange(6000))
    assert max(images[block].size for block in blocks) <= max(data.BLOCK_PIXELS, side**2)


def test_what_data_are_is_remembered(tmp_path):
    films = data.About("TestMNIST", "films", ("healthy", "diseased"))
    for about, caption in ((ABOUT, "TestMNIST PHANTOM"), (films, "TestMNIST")):
        data.write(tmp_path, about, {})
        assert data.read_about(tmp_path) == about
        assert about.caption() == caption
        assert about.is_phantom == ("PHANTOM" in caption)
    assert json.loads((tmp_path / "about.json").read_text())["classes"] == ["healthy", "diseased"]


def test_a_split_is_indexed_with_all_that_belongs_to_it(splits):
    index = np.array([5, 2])
    some = splits["test"][index]
    assert np.array_equal(some.images, splits["test"].images[[5, 2]])
    assert np.array_equal(some.labels, splits["test"].labels[[5, 2]])
    assert np.array_equal(some.masks, splits["test"].masks[[5, 2]])
    assert data.Split(splits["test"].images, splits["test"].labels)[index].masks is None


# ----------------------------------------------------------------------------------- drawing labels


@pytest.mark.parametrize("positive", [74, 50, 9])
def test_a_draw_has_the_shares_of_all(positive):
    y = labels(100, positive)
    for n in range(12, 101):
        drawn = data.draw(y, n, seed=0, key="k")
        assert len(drawn) == len(set(drawn)) == n
        assert abs(y[drawn].sum() - n * positive / 100) <= 0.5
        assert np.all(np.diff(drawn) > 0)


def test_a_smaller_draw_is_part_of_every_larger_one():
    y = labels(200, 141)
    draws = [set(data.draw(y, n, seed=3, key="k")) for n in range(4, 201)]
    assert all(small < large for small, large in pairwise(draws))


def test_a_draw_depends_on_the_seed_alone():
    y = labels(200, 100)
    one, two, other = (data.draw(y, 50, seed, "k") for seed in (0, 0, 1))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("n", ["all", 30])
def test_all_films(n):
    assert data.draw(labels(30, 20), n, seed=0, key="k").tolist() == list(range(30))


def refused(y: np.ndarray, n) -> str:
    with pytest.raises(UserError) as error:
        data.draw(y, n, seed=0, key="runs.a.labels")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("size", "positive"), [(100, 74), (100, 3), (57, 50), (9, 1), (2, 1)])
@pytest.mark.parametrize("few", [True, False])
def test_numbers_that_are_refused_come_with_those_that_are_not(size, positive, few):
    """Both ends of the range that the message names are drawn from without complaint."""
    y = labels(size, positive)
    n = 1 if few else size + 1
    line = refused(y, n)
    assert line.startswith(f"runs.a.labels = {n}") and line.endswith(", or all")
    low, high = map(int, re.search(r"accepted: (\d+) to (\d+)", line).groups())
    for accepted in (low, high):
        drawn = y[data.draw(y, accepted, seed=0, key="k")]
        assert len(drawn) == accepted and 0 < drawn.sum() < accepted


@pytest.mark.parametrize("n", ["all", 10])
def test_films_of_one_class_are_refused(n):
    line = refused(np.ones(50, np.uint8), n)
    assert line.startswith("runs.a.labels") and "50 films are of one class" in line
