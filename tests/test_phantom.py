"""Phantoms match MedMNIST in layout, class shares and difficulty, and hold their true findings."""

from dataclasses import replace

import numpy as np
import pytest
from medmnist import INFO
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from chestflow.errors import UserError
from chestflow.sources import findings, phantom

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def chest() -> dict[str, np.ndarray]:
    return phantom.archive("chestmnist", {"train": 3000, "val": 10, "test": 600}, seed=0)


@pytest.fixture(scope="module")
def pneumonia() -> dict[str, np.ndarray]:
    return phantom.archive("pneumoniamnist", {"train": 1500, "val": 300, "test": 624}, seed=0)


@pytest.mark.parametrize(("dataset", "n_labels"), [("chestmnist", 14), ("pneumoniamnist", 1)])
def test_layout_matches_medmnist(dataset, n_labels):
    arrays = phantom.archive(dataset, {"train": 5, "val": 3, "test": 1}, seed=0)
    assert list(findings.FINDINGS) == list(INFO["chestmnist"]["label"].values())
    assert set(arrays) == {f"{s}_{part}" for s in SPLITS for part in ("images", "labels", "masks")}
    for split, n in zip(SPLITS, (5, 3, 1), strict=True):
        images, labels, masks = (arrays[f"{split}_{p}"] for p in ("images", "labels", "masks"))
        assert (images.shape, images.dtype) == ((n, 28, 28), np.uint8)
        assert (labels.shape, labels.dtype) == ((n, n_labels), np.uint8)
        assert (masks.shape, masks.dtype) == ((n, 28, 28), np.uint16)
        assert labels.max() <= 1 and masks.max() < 2**n_labels


def test_images_depend_on_the_seed_alone():
    first, again, other = (phantom.archive("chestmnist", {"train": 20}, seed) for seed in (3, 3, 4))
    for key in first:
        assert np.array_equal(first[key], again[key])
    assert not np.array_equal(first["train_images"], other["train_images"])
    assert not np.array_equal(first["train_labels"], other["train_labels"])


def test_splits_are_independent_and_share_no_image():
    one = phantom.archive("chestmnist", {"train": 12, "val": 12, "test": 12}, seed=0)
    two = phantom.archive("chestmnist", {"train": 200, "val": 12, "test": 12}, seed=0)
    for part in ("images", "labels", "masks"):
        assert np.array_equal(one[f"test_{part}"], two[f"test_{part}"])
        assert np.array_equal(one[f"train_{part}"], two[f"train_{part}"][:12])
    images = np.concatenate([one[f"{split}_images"] for split in SPLITS])
    assert len(np.unique(images, axis=0)) == 36


def test_prevalences_match_chestmnist(chest):
    expected = np.array([finding.prevalence for finding in findings.ATLAS.values()])
    labels = chest["train_labels"]
    assert np.abs(labels.mean(0) - expected).max() < 0.025
    assert 0.43 < labels.any(1).mean() < 0.51


def test_labels_and_masks_of_pneumonia_agree(pneumonia):
    for split in SPLITS:
        masks, labels = pneumonia[f"{split}_masks"] > 0, pneumonia[f"{split}_labels"].ravel()
        assert np.array_equal(masks.any((1, 2)), labels == 1)
        share = 0.625 if split == "test" else 0.742
        assert labels.sum() == round(share * len(labels))
        assert 0 < labels[: len(labels) // 2].sum() < labels.sum(), "positives are not shuffled"
    covered = masks[labels == 1].mean((1, 2))
    assert 0.05 < covered.mean() < 0.20 and covered.max() < 0.45


def test_chest_labels_are_noisy_but_mostly_true(chest):
    bits = np.arange(14, dtype=np.uint16)
    truth = (chest["train_masks"][..., None] >> bits & 1).any((1, 2))
    labels = chest["train_labels"] == 1
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

        kind = replace(phantom.COLLECTIONS["chestmnist"], truth=truth, conspicuity=(1, 1))
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


def test_large_images_are_drawn_one_at_a_time():
    """However many are drawn, only a few are in memory."""
    for size in (28, 64, 128, 224):
        labels, inputs = phantom.generate("chestmnist", "train", 5_000, seed=0, size=size)
        images, masks = next(inputs)
        assert images.shape == masks.shape and images.size <= phantom.CHUNK_PIXELS
        assert len(labels) == 5_000


def test_an_unknown_dataset_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"'retinamnist'.*chestmnist, pneumoniamnist"):
        phantom.archive("retinamnist", {"train": 1}, seed=0)


@pytest.mark.parametrize(
    ("dataset", "low", "high"), [("chest", 0.55, 0.75), ("pneumonia", 0.65, 0.92)]
)
def test_raw_pixels_separate_the_classes_but_not_perfectly(dataset, low, high, request):
    arrays = request.getfixturevalue(dataset)
    flat = {split: arrays[f"{split}_images"].reshape(-1, 784) / 255 for split in SPLITS}
    y = {split: arrays[f"{split}_labels"].any(1) for split in SPLITS}
    model = LogisticRegression(C=0.01, max_iter=200).fit(flat["train"], y["train"])
    assert low < roc_auc_score(y["test"], model.decision_function(flat["test"])) < high
