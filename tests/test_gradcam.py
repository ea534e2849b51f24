"""GradCAM and LayerCAM against the reference package, and the tests of a run's maps."""

from functools import partial

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM, LayerCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

import stages.gradcam
from chestflow.explain import gradcam, insertion, localisation
from chestflow.models.cnn import Classifier
from chestflow.models.inference import standardise
from chestflow.training import batches, classifier

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def random_model() -> Classifier:
    torch.manual_seed(0)
    return Classifier().eval()


@pytest.fixture(scope="module")
def trained_model(splits, settings) -> Classifier:
    torch.manual_seed(0)
    model = Classifier()
    images = [batches.Samples.to(CPU, splits[name]) for name in ("train", "val")]
    list(classifier.fit(model, *images, settings(steps=10), seed=0))
    return model.eval()


@pytest.fixture(scope="module")
def images(splits) -> torch.Tensor:
    return torch.from_numpy(splits["test"].images[:7])


def compared(model: Classifier, peer, layers: list, images: torch.Tensor, own) -> None:
    """Our maps of either class, `own(target)`, are those of pytorch_grad_cam."""
    inputs, highest = standardise(images), []
    with peer(model=model, target_layers=layers) as cam:
        for target in (0, 1):
            expected = cam(inputs, targets=[ClassifierOutputTarget(target)] * len(inputs))
            maps = own(target)
            assert maps.shape == expected.shape == (7, 28, 28)
            assert np.abs(maps - expected).max() < 1e-3  # it adds 1e-7 to what it divides by
            assert maps.min() >= 0 and np.allclose(maps.max(axis=(1, 2)) % 1, 0)
            highest.append(maps.max())
    assert max(highest) == 1, "an example without any evidence shows nothing"


@pytest.mark.parametrize("state", ["random_model", "trained_model"])
def test_maps_equal_those_of_pytorch_grad_cam(state, images, request):
    model = request.getfixturevalue(state)
    for name in ("encoder.0.conv1", "encoder.1.conv2", "encoder.2.conv1", "last"):
        layer = model.encoder[2].conv2 if name == "last" else model.get_submodule(name)
        own = partial(gradcam.grad_cams, model, name, images)
        compared(model, GradCAM, [layer], images, own)
    own = partial(gradcam.layer_cams, model, images)
    compared(model, LayerCAM, list(model.encoder)[1:], images, own)


def test_maps_depend_neither_on_the_batch_nor_on_what_is_frozen(images, monkeypatch):
    model = Classifier().eval()
    expected = gradcam.grad_cams(model, "last", images, 1), gradcam.layer_cams(model, images, 1)
    monkeypatch.setattr(gradcam, "PER_BATCH", 2)
    model.requires_grad_(False)
    in_twos = gradcam.grad_cams(model, "last", images, 1), gradcam.layer_cams(model, images, 1)
    assert np.stack(in_twos) == pytest.approx(np.stack(expected), abs=1e-5)


METHODS: stages.gradcam.Methods = {
    "gradcam": partial(gradcam.grad_cams, layer="last"),
    "layercam": gradcam.layer_cams,
}


def test_networks_alike_are_certain_and_random_ones_differ(trained_model, splits):
    """Trainings with the same weights leave the choice of images as the only uncertainty."""
    test = splits["test"]
    some = test[np.flatnonzero(test.masks.any(axis=(1, 2)))]
    truth = some.masks, localisation.best_pixel(splits["train"].masks)
    shown = torch.from_numpy(some.images)
    one, three = (
        stages.gradcam.located([trained_model] * k, METHODS, shown, *truth, 0) for k in (1, 3)
    )
    assert one["n"] == len(some)
    for name, found in one["methods"].items():
        again = three["methods"][name]
        assert found["value"] == pytest.approx(again["value"])
        assert found["value"] == pytest.approx(found["mean_map"]["value"])
        assert found["ci95"] == pytest.approx(again["ci95"])
        assert found["random"]["each"] == again["random"]["each"], "drawn by seed"
        assert len(set(found["random"]["each"])) > 5, "one random network would be no baseline"


def test_insertion_uses_the_images_that_each_training_has_seen(trained_model, splits, monkeypatch):
    areas: dict = {}
    monkeypatch.setattr(insertion, "report", lambda own, fixed: areas.update(own | fixed))
    seen = [splits["train"][np.arange(n)] for n in (50, 100)]
    images = torch.from_numpy(splits["test"].images[splits["test"].labels == 1][:20])
    stages.gradcam.inserted([trained_model] * 2, METHODS, images, seen, 0)
    assert set(areas) == {"gradcam", "layercam", "centred", "mean_gradcam", "mean_layercam"}
    for one, other in areas.values():
        assert one.shape == (20,) and not np.allclose(one, other), "other healthy images"
