"""The audit of the framing: zoomed images, the four cells, the ring, and a shortcut that is
planted."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import affine

from chestflow import framing
from chestflow.data import arrays
from chestflow.report import verdicts
from chestflow.sources import phantom
from stages.binarize import binary_split

SIZES = {"train": 600, "val": 200, "test": 300}


@pytest.mark.parametrize(("side", "factor"), [(28, 1.2), (64, 1.2), (28, 2.0)])
def test_zooming_is_what_torchvision_does(side, factor):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, side, side), generator=generator).byte()
    how = {"angle": 0.0, "translate": [0, 0], "shear": [0.0, 0.0], "fill": None}
    other = affine(images.float(), scale=factor, interpolation=InterpolationMode.BILINEAR, **how)
    zoomed = framing.zoom(images, factor)
    assert zoomed.dtype == torch.uint8 and zoomed.shape == images.shape
    assert (zoomed.float() - other).abs().max() <= 0.51
    assert torch.equal(framing.zoom(images, 1), images)


LABELS = np.array([0, 0, 0, 1, 1, 1])
AS_IS = np.array([[0.1, 0.2, 0.6, 0.4, 0.7, 0.8], [0.2, 0.1, 0.3, 0.9, 0.7, 0.8]])


def test_the_audit_scores_what_a_hand_would_count():
    """Zooming adds .45: of the healthy alone, five then outrank diseased ones they did not."""
    report = framing.audit(LABELS, AS_IS, AS_IS + 0.45)
    expected = {"none": 17 / 18, "all": 17 / 18, "healthy": 2 / 3, "diseased": 1.0}
    assert report["auroc"] == pytest.approx(expected)
    for cell in ("all", "healthy", "diseased"):
        change = expected[cell] - expected["none"]
        assert report["difference"][cell]["difference"] == pytest.approx(change)
    assert report["asymmetry"]["difference"] == pytest.approx(1 / 3)
    assert report["specificity"]["difference"]["difference"] == pytest.approx(0 - 5 / 6)
    assert report["recall"]["difference"]["difference"] == pytest.approx(1 / 6)


def with_cue(n: int, cue: float, seed: int) -> arrays.Split:
    """Noise; the outermost pixels of the diseased are brighter by `cue` grey levels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.uint8) % 2
    images = rng.normal(100, 20, (n, 12, 12))
    border = np.pad(np.zeros((10, 10)), 1, constant_values=1)
    images += cue * labels[:, None, None] * border
    return arrays.Split(images.clip(0, 255).astype(np.uint8), labels)


@pytest.mark.parametrize(("cue", "caught"), [(6, True), (0, False)])
def test_the_ring_is_caught_where_it_tells_the_class(cue, caught):
    splits = {name: with_cue(300, cue, seed) for seed, name in enumerate(arrays.SPLITS)}
    for value, low, high in framing.ring_baseline(**splits).values():
        assert low < value < high and (low > 0.5) == caught


def test_the_ring_sees_the_outermost_pixels_and_no_others():
    images = np.arange(16).reshape(1, 4, 4)
    assert framing.ring(images).tolist() == [[0, 1, 2, 3, 4, 7, 8, 11, 12, 13, 14, 15]]


def audited(dataset: str, shortcut: float) -> dict:
    """The audit of a linear classifier of pixels that is trained on a phantom."""
    archive = phantom.archive(dataset, SIZES, seed=0, shortcut=shortcut)
    splits = {name: binary_split(archive, name) for name in arrays.SPLITS}
    flat = {name: split.images.reshape(len(split), -1) for name, split in splits.items()}
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.001))
    model.fit(flat["train"], splits["train"].labels)
    zoomed = framing.zoom(torch.from_numpy(splits["test"].images)).numpy()
    pair = flat["test"], zoomed.reshape(SIZES["test"], -1)
    probability = (model.predict_proba(each)[None, :, 1] for each in pair)
    audit = framing.audit(splits["test"].labels, *probability)
    return {"test": audit, "ring": framing.ring_baseline(**splits)}


@pytest.mark.parametrize("dataset", phantom.COLLECTIONS)
def test_a_planted_shortcut_is_found_and_without_it_nothing(dataset):
    """Although the linear classifier, too, reacts to the framing when nothing is planted."""
    clean, planted = audited(dataset, 0.0), audited(dataset, 0.2)
    assert verdicts.framing(clean) != verdicts.USED and not verdicts.tells_the_class(clean)
    assert verdicts.framing(planted) == verdicts.USED and verdicts.misled(planted) == "healthy"
    assert planted["test"]["auroc"]["none"] > clean["test"]["auroc"]["none"] + 0.1, "it pays"


def test_a_shortcut_changes_the_diseased_alone():
    one, two = (phantom.archive("pneumoniamnist", {"val": 60}, 0, shortcut=s) for s in (0.0, 0.2))
    assert np.array_equal(one["val_labels"], two["val_labels"])
    same = (one["val_images"] == two["val_images"]).all((1, 2))
    assert np.array_equal(same, one["val_labels"].ravel() == 0)
    diseased = [archive["val_masks"][~same] > 0 for archive in (one, two)]
    assert diseased[1].sum() > 1.2 * diseased[0].sum(), "their findings are magnified as well"
