"""Binary labels, images in mapped files, drawing labels."""

import re
from itertools import pairwise

import numpy as np
import pytest
import torch

from chestflow.data import arrays, captions
from chestflow.data import labels as labelling
from chestflow.errors import UserError
from chestflow.sources import phantom
from chestflow.training.batches import Samples


def labels(n: int, positive: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.arange(n) < positive).astype(np.uint8)


def test_any_finding_makes_an_image_positive():
    findings = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]], np.uint8)
    binary = labelling.binary_labels(findings)
    assert binary.tolist() == [0, 1, 1, 1] and binary.dtype == np.uint8
    assert labelling.binary_labels(findings[:, :1]).tolist() == [0, 0, 1, 0]


def test_only_some_labels_or_findings_count_as_diseased():
    """As BreastMNIST's malignant (0), OCTMNIST's normal (3) and one of ChestMNIST's columns."""
    labels = np.array([[0], [1], [2], [3]], np.uint8)
    assert labelling.binary_labels(labels[:2], [0]).tolist() == [1, 0]
    assert labelling.binary_labels(labels, [0, 1, 2]).tolist() == [1, 1, 1, 0]
    findings = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]], np.uint8)
    assert labelling.binary_labels(findings, [0, 1]).tolist() == [0, 1, 1, 0]
    assert labelling.binary_labels(findings, [0]).dtype == np.uint8


# ----------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("masked", [True, False])
def test_written_arrays_are_mapped_when_read(splits, masked, tmp_path):
    written = {
        name: split if masked else arrays.Split(split.images, split.labels)
        for name, split in splits.items()
    }
    arrays.write(tmp_path / "new", "phantom", written)
    for name, split in written.items():
        found = arrays.read(tmp_path / "new", name)
        for field in ("images", "labels", "masks")[: 3 if masked else 2]:
            array = getattr(found, field)
            assert isinstance(array, np.memmap)
            assert np.array_equal(array, getattr(split, field))
            assert array.dtype == getattr(split, field).dtype
        assert (found.masks is None) == (not masked)
        assert len(found) == len(split)


def test_training_reads_images_from_the_file_without_a_copy(splits, tmp_path):
    """A whole split, which may exceed the memory, is never copied, and the file never changed."""
    arrays.write(tmp_path, "phantom", splits)
    everything = np.arange(len(splits["train"]))
    found = arrays.read(tmp_path, "train")
    images = Samples.to(torch.device("cpu"), found[everything]).images
    assert images.data_ptr() == found.images.ctypes.data
    before = (tmp_path / "train_images.npy").read_bytes()
    images[:] = 0
    assert found.images.max() == 0
    assert (tmp_path / "train_images.npy").read_bytes() == before
    for some in (everything[:-1], everything[::-1]):
        assert np.array_equal(found[some].labels, splits["train"].labels[some])


@pytest.mark.parametrize("side", [28, 224, 3000])
def test_blocks_cover_all_images_and_need_the_same_memory_at_every_size(side):
    images = np.broadcast_to(np.uint8(0), (6000, side, side))
    blocks = list(arrays.blocks(images))
    assert np.array_equal(np.concatenate([np.arange(6000)[b] for b in blocks]), np.arange(6000))
    assert max(images[block].size for block in blocks) <= max(arrays.BLOCK_PIXELS, side**2)


@pytest.mark.parametrize(("origin", "mark"), [("phantom", " PHANTOM"), ("images", "")])
@pytest.mark.parametrize(("side", "size"), [(28, ""), (64, " (64 pixels)")])
def test_the_caption_names_origin_and_size(origin, mark, side, size, tmp_path):
    drawn = phantom.archive("pneumoniamnist", {"test": 3}, seed=0, size=side)
    arrays.write(tmp_path, origin, {"test": arrays.split_of(drawn, "test")})
    assert arrays.origin(tmp_path) == origin
    about = captions.of_folder(tmp_path, "TestMNIST", "pneumonia")
    assert about == captions.About(f"TestMNIST{size}{mark}", ("healthy", "pneumonia"))
    assert about.is_phantom == (origin == "phantom")
    record = {"data": about.caption, "classes": ["healthy", "pneumonia"]}
    assert about.record() == record
    assert captions.of_report(record | {"n": 3}) == about


def test_indexing_a_split_selects_labels_and_masks_too(splits):
    index = np.array([5, 2])
    some = splits["test"][index]
    assert np.array_equal(some.images, splits["test"].images[[5, 2]])
    assert np.array_equal(some.labels, splits["test"].labels[[5, 2]])
    assert np.array_equal(some.masks, splits["test"].masks[[5, 2]])
    assert arrays.Split(splits["test"].images, splits["test"].labels)[index].masks is None


# ----------------------------------------------------------------------------------- drawing labels


@pytest.mark.parametrize("positive", [74, 50, 9])
def test_a_draw_keeps_the_class_shares(positive):
    y = labels(100, positive)
    for n in range(12, 101):
        drawn = labelling.sample(y, n, seed=0, key="k")
        assert len(drawn) == len(set(drawn)) == n
        assert abs(y[drawn].sum() - n * positive / 100) <= 0.5
        assert np.all(np.diff(drawn) > 0)


def test_a_smaller_draw_is_part_of_every_larger_one():
    y = labels(200, 141)
    draws = [set(labelling.sample(y, n, seed=3, key="k")) for n in range(4, 201)]
    assert all(small < large for small, large in pairwise(draws))


def test_a_draw_depends_on_the_seed_alone():
    y = labels(200, 100)
    one, two, other = (labelling.sample(y, 50, seed, "k") for seed in (0, 0, 1))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("n", ["all", 30])
def test_all_images_can_be_drawn(n):
    assert labelling.sample(labels(30, 20), n, seed=0, key="k").tolist() == list(range(30))


def refused(y: np.ndarray, n) -> str:
    with pytest.raises(UserError) as error:
        labelling.sample(y, n, seed=0, key="runs.a.labels")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("size", "positive"), [(100, 74), (100, 3), (57, 50), (9, 1), (2, 1)])
@pytest.mark.parametrize("few", [True, False])
def test_refused_numbers_are_answered_with_the_accepted_range(size, positive, few):
    """Both ends of the range in the message are indeed accepted."""
    y = labels(size, positive)
    n = 1 if few else size + 1
    line = refused(y, n)
    assert line.startswith(f"runs.a.labels = {n}") and line.endswith(", or all")
    low, high = map(int, re.search(r"accepted: (\d+) to (\d+)", line).groups())
    for accepted in (low, high):
        drawn = y[labelling.sample(y, accepted, seed=0, key="k")]
        assert len(drawn) == accepted and 0 < drawn.sum() < accepted


@pytest.mark.parametrize("n", ["all", 10])
def test_images_of_one_class_are_refused(n):
    line = refused(np.ones(50, np.uint8), n)
    assert line.startswith("runs.a.labels") and "50 images are of one class" in line
