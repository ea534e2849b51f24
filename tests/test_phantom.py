"""Phantoms match MedMNIST in layout and class shares, and hold their true findings."""

import numpy as np
import pytest
from medmnist import INFO

from chestflow.errors import UserError
from chestflow.sources import findings, phantom


@pytest.mark.parametrize(("dataset", "n_labels"), [("chestmnist", 14), ("pneumoniamnist", 1)])
def test_layout_matches_medmnist(dataset, n_labels):
    assert list(findings.FINDINGS) == list(INFO["chestmnist"]["label"].values())
    arrays = phantom.archive(dataset, {"val": 3}, seed=0)
    for field, shape, dtype, end in (
        ("images", (3, 28, 28), np.uint8, 256),
        ("labels", (3, n_labels), np.uint8, 2),
        ("masks", (3, 28, 28), np.uint16, 2**n_labels),
    ):
        array = arrays.pop(f"val_{field}")
        assert array.shape == shape and array.dtype == dtype and array.max() < end
    assert arrays == {"origin": "phantom"}


def test_images_depend_on_the_seed_the_split_and_their_place_alone():
    """Of pneumoniamnist, the order of the labels depends on their number too."""
    few = phantom.archive("chestmnist", {"train": 12, "test": 12}, seed=0)
    many = phantom.archive("chestmnist", {"test": 12, "train": 50}, seed=0)
    for field in ("images", "labels", "masks"):
        assert np.array_equal(few[f"test_{field}"], many[f"test_{field}"])
        assert np.array_equal(few[f"train_{field}"], many[f"train_{field}"][:12])
    other = phantom.archive("chestmnist", {"train": 12}, seed=1)
    images = [few["train_images"], few["test_images"], other["train_images"]]
    assert len(np.unique(np.concatenate(images), axis=0)) == 36


@pytest.mark.parametrize(("split", "share"), [("train", 0.742), ("test", 0.625)])
def test_labels_and_masks_of_pneumonia_agree(split, share):
    arrays = phantom.archive("pneumoniamnist", {split: 600}, seed=0)
    masks, labels = arrays[f"{split}_masks"] > 0, arrays[f"{split}_labels"].ravel()
    assert np.array_equal(masks.any((1, 2)), labels == 1)
    assert labels.sum() == round(share * len(labels))
    assert 0 < labels[: len(labels) // 2].sum() < labels.sum(), "positives are not shuffled"
    covered = masks[labels == 1].mean((1, 2))
    assert 0.05 < covered.mean() < 0.20 and covered.max() < 0.45


def test_chest_labels_are_as_frequent_as_in_chestmnist_and_mostly_true():
    chest = phantom.archive("chestmnist", {"train": 3000}, seed=0)
    labels, bits = chest["train_labels"] == 1, np.arange(14, dtype=np.uint16)
    expected = np.array([finding.prevalence for finding in findings.ATLAS.values()])
    assert np.abs(labels.mean(0) - expected).max() < 0.025
    assert 0.43 < labels.any(1).mean() < 0.51
    truth = (chest["train_masks"][..., None] >> bits & 1).any((1, 2))
    assert truth.any(0).all(), "a finding is never drawn"
    assert 0.80 < labels[truth].mean() < 0.97
    assert labels[~truth].mean() < 0.02


@pytest.mark.parametrize("name", findings.FINDINGS)
def test_a_finding_changes_the_image_inside_its_mask(name, monkeypatch):
    """The same images, drawn with every one or none of them having the finding."""
    bit = findings.FINDINGS.index(name)

    def images(present: bool) -> dict[str, np.ndarray]:
        def truth(rng, n, split):
            return np.tile(np.arange(14) == bit, (n, 1)) & present

        kind = phantom.COLLECTIONS["chestmnist"]._replace(truth=truth, conspicuity=(1, 1))
        monkeypatch.setitem(phantom.COLLECTIONS, "chestmnist", kind)
        return phantom.archive("chestmnist", {"train": 60}, seed=0)

    with_it, without = images(True), images(False)
    inside = with_it["train_masks"] == 1 << bit
    assert inside.any((1, 2)).all() and not without["train_masks"].any()
    change = np.abs(with_it["train_images"].astype(float) - without["train_images"])
    assert change[inside].mean() > 10
    assert change[inside].mean() > 5 * change[~inside].mean()


@pytest.mark.parametrize("size", [64, 128, 224])
def test_all_sizes_show_the_same_patients_and_findings(size):
    small, large = (phantom.archive("pneumoniamnist", {"train": 40}, 0, n) for n in (28, size))
    assert np.array_equal(small["train_labels"], large["train_labels"])
    at = (np.arange(28) * 2 + 1) * size // 56
    images, masks = (large[f"train_{part}"][:, at][:, :, at] for part in ("images", "masks"))
    pixels = small["train_images"].reshape(40, -1), images.reshape(40, -1)
    similarity = np.corrcoef(*pixels)[:40, 40:]
    assert np.array_equal(similarity.argmax(1), np.arange(40)), "each is most like itself"
    assert (masks == small["train_masks"]).mean() > 0.97


def test_an_unknown_dataset_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"'retinamnist'.*chestmnist, pneumoniamnist"):
        phantom.archive("retinamnist", {"train": 1}, seed=0)
