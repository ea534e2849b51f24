"""Images and labels in mapped files, and what a data set is called."""

import numpy as np
import pytest
import torch

from chestflow.data import arrays, captions
from chestflow.training.batches import Samples


def test_written_arrays_are_mapped_when_read(splits, tmp_path):
    written = splits | {"val": arrays.Split(splits["val"].images, splits["val"].labels)}
    arrays.write(tmp_path / "new", "phantom", written)
    assert arrays.origin(tmp_path / "new") == "phantom"
    for name, split in written.items():
        read = vars(arrays.read(tmp_path / "new", name))
        for field, expected in vars(split).items():
            assert np.array_equal(read[field], expected)
            assert expected is None or isinstance(read[field], np.memmap)


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


@pytest.mark.parametrize(
    ("side", "origin", "caption"),
    [(28, "images", "TestMNIST"), (64, "phantom", "TestMNIST (64 pixels) PHANTOM")],
)
def test_the_caption_names_origin_and_size(side, origin, caption):
    about = captions.of_dataset("TestMNIST", side, origin, "pneumonia")
    assert about == captions.About(caption, ("healthy", "pneumonia"))
    assert about.is_phantom == (origin == "phantom")
    assert captions.of_report(about.record() | {"n": 3}) == about


def test_indexing_a_split_selects_labels_and_masks_too(splits):
    test, index = splits["test"], np.array([5, 2])
    for field in ("images", "labels", "masks"):
        assert np.array_equal(getattr(test[index], field), getattr(test, field)[[5, 2]])
    order = np.arange(len(test))[::-1]
    assert np.array_equal(test[order].labels, test.labels[::-1]), "only the same order is mapped"
    assert arrays.Split(test.images, test.labels)[index].masks is None
