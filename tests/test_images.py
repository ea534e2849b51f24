"""Images and labels in mapped files, and what a data set is called."""

import numpy as np
import pytest
import torch

from chestflow.data import arrays, captions
from chestflow.training.batches import Samples


@pytest.mark.parametrize("masked", [True, False])
def test_written_arrays_are_mapped_when_read(splits, masked, tmp_path):
    written = {
        name: split if masked else arrays.Split(split.images, split.labels)
        for name, split in splits.items()
    }
    arrays.write(tmp_path / "new", "phantom", written)
    for name, split in written.items():
        mapped = arrays.read(tmp_path / "new", name)
        for field in ("images", "labels", "masks")[: 3 if masked else 2]:
            array, expected = getattr(mapped, field), getattr(split, field)
            assert isinstance(array, np.memmap) and array.dtype == expected.dtype
            assert np.array_equal(array, expected)
        assert (mapped.masks is not None) == masked and len(mapped) == len(split)


def test_training_reads_images_from_the_file_without_a_copy(splits, tmp_path):
    """A whole split, which may exceed the memory, is never copied, and the file never changed."""
    arrays.write(tmp_path, "phantom", splits)
    everything = np.arange(len(splits["train"]))
    mapped = arrays.read(tmp_path, "train")
    images = Samples.to(torch.device("cpu"), mapped[everything]).images
    assert images.data_ptr() == mapped.images.ctypes.data
    before = (tmp_path / "train_images.npy").read_bytes()
    images[:] = 0
    assert mapped.images.max() == 0
    assert (tmp_path / "train_images.npy").read_bytes() == before


@pytest.mark.parametrize("side", [28, 224, 3000])
def test_blocks_cover_all_images_and_need_the_same_memory_at_every_size(side):
    images = np.broadcast_to(np.uint8(0), (6000, side, side))
    blocks = list(arrays.blocks(images))
    assert np.array_equal(np.concatenate([np.arange(6000)[b] for b in blocks]), np.arange(6000))
    assert max(images[block].size for block in blocks) <= max(arrays.BLOCK_PIXELS, side**2)


@pytest.mark.parametrize(("origin", "mark"), [("phantom", " PHANTOM"), ("images", "")])
@pytest.mark.parametrize(("side", "size"), [(28, ""), (64, " (64 pixels)")])
def test_the_caption_names_origin_and_size(origin, mark, side, size, tmp_path):
    arrays.write(tmp_path, origin, {"test": arrays.Split(np.zeros((3, side, side)), np.ones(3))})
    assert arrays.origin(tmp_path) == origin
    about = captions.of_folder(tmp_path, "TestMNIST", "pneumonia")
    assert about == captions.About(f"TestMNIST{size}{mark}", ("healthy", "pneumonia"))
    assert about.is_phantom == (origin == "phantom")
    assert captions.of_report(about.record() | {"n": 3}) == about


def test_indexing_a_split_selects_labels_and_masks_too(splits):
    test, index = splits["test"], np.array([5, 2])
    for field in ("images", "labels", "masks"):
        assert np.array_equal(getattr(test[index], field), getattr(test, field)[[5, 2]])
    order = np.arange(len(test))[::-1]
    assert np.array_equal(test[order].labels, test.labels[::-1]), "only the same order is mapped"
    assert arrays.Split(test.images, test.labels)[index].masks is None
