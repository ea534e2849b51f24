"""Phantoms match MedMNIST in layout, class shares and difficulty, and hold their true findings."""

from dataclasses import replace

import numpy as np
import pytest
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
    assert set(arrays) == {f"{s}_{part}" for s in SPLITS for part in ("images", "labels", "masks")}
    for split, n in zip(SPLITS, (5, 3, 1), strict=True):
        images, labels, masks = (arrays[f"{split}_{p}"] for p in ("images", "labels", "masks"))
        assert (images.shape, images.dtype) == ((n, 28, 28), np.uint8)
        assert (labels.shape, labels.dtype) == ((n, n_labels), np.uint8)
        assert (masks.shape, masks.dtype) == ((n, 28, 28), np.uint16)
        assert labels.max() <= 1 and masks.max() < 2**n_labels


def test_findings_are_in_chestmnists_order():
    assert len(findings.FINDINGS) == 14
    assert findings.FINDINGS[0] == "atelectasis" and findings.FINDINGS[6] == "pneumonia"
    assert findings.FINDINGS[-1] == "hernia"


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


@pytest.mark.parametrize("n", [16, 101, 624])
def test_shares_of_pneumonia_are_exact(n):
    arrays = phantom.archive("pneumoniamnist", dict.fromkeys(SPLITS, n), seed=1)
    for split, share in (("train", 0.742), ("val", 0.742), ("test", 0.625)):
        labels = arrays[f"{split}_labels"].ravel()
        assert labels.sum() == round(share * n)
        assert 0 < labels[: n // 2].sum() < labels.sum(), "positives are not shuffled"


def test_only_images_labelled_pneumonia_have_masks(pneumonia):
    for split in SPLITS:
        masks, labels = pneumonia[f"{split}_masks"] > 0, pneumonia[f"{split}_labels"].ravel()
        assert np.array_equal(masks.any((1, 2)), labels == 1)
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


def test_test_split_of_pneumonia_is_acquired_differently(pneumonia):
    def healthy_spread(split):
        images, labels = pneumonia[f"{split}_images"], pneumonia[f"{split}_labels"].ravel()
        return images[labels == 0].std((1, 2)).mean()

    assert healthy_spread("train") == pytest.approx(healthy_spread("val"), rel=0.05)
    assert healthy_spread("test") < 0.9 * healthy_spread("train")


@pytest.mark.parametrize("size", [64, 128, 224])
def test_all_sizes_show_the_same_patients(size):
    small = phantom.archive("chestmnist", {"train": 8}, seed=0)
    large = phantom.archive("chestmnist", {"train": 8}, seed=0, size=size)
    assert large["train_images"].shape == large["train_masks"].shape == (8, size, size)
    assert np.array_equal(small["train_labels"], large["train_labels"])
    at = (np.arange(28) * 2 + 1) * size // 56
    seen = large["train_images"][:, at][:, :, at]
    for image, same in zip(small["train_images"], seen, strict=True):
        assert np.corrcoef(image.ravel(), same.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("size", [28, 64, 128, 224])
def test_findings_have_the_same_position_and_extent_at_every_size(size):
    masks = phantom.archive("pneumoniamnist", {"train": 40}, seed=0, size=size)["train_masks"] > 0
    small = phantom.archive("pneumoniamnist", {"train": 40}, seed=0)["train_masks"] > 0
    assert np.array_equal(masks.any((1, 2)), small.any((1, 2)))
    assert masks.mean() == pytest.approx(small.mean(), rel=0.05)
    at = (np.arange(28) * 2 + 1) * size // 56
    assert (masks[:, at][:, :, at] == small).mean() > 0.97


def test_large_images_are_drawn_one_at_a_time():
    """However many are drawn, only a few are in memory."""
    for size in (28, 64, 128, 224):
        labels, inputs = phantom.generate("chestmnist", "train", 50_000, seed=0, size=size)
        images, masks = next(inputs)
        assert images.shape == masks.shape and images.size <= phantom.CHUNK_PIXELS
        assert len(labels) == 50_000


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
