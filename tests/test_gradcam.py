"""GradCAM and LayerCAM against the reference package, and the tests of a run's maps."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM, LayerCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

import stages.gradcam
from chestflow.explain import gradcam, map_baselines
from chestflow.models.cnn import Classifier
from chestflow.models.inference import standardise
from chestflow.training import batches, classifier

CPU = torch.device("cpu")
LAYERS = ["encoder.0.conv1", "encoder.1.conv2", "encoder.2.conv1", "last"]


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
            targets = [ClassifierOutputTarget(target)] * len(inputs)
            expected = cam(input_tensor=inputs, targets=targets)
            maps = own(target)
            assert maps.shape == expected.shape == (7, 28, 28)
            assert np.abs(maps - expected).max() < 1e-3  # it adds 1e-7 to what it divides by
            assert maps.min() >= 0 and np.allclose(maps.max(axis=(1, 2)) % 1, 0)
            highest.append(maps.max())
    assert max(highest) == 1, "an example without any evidence shows nothing"


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("state", ["random_model", "trained_model"])
def test_grad_cam_equals_that_of_pytorch_grad_cam(state, layer, images, request):
    model = request.getfixturevalue(state)
    layers = [gradcam.conv_layer(model, layer)]
    compared(model, GradCAM, layers, images, lambda t: gradcam.grad_cams(model, layer, images, t))


@pytest.mark.parametrize("state", ["random_model", "trained_model"])
def test_layer_cam_equals_that_of_pytorch_grad_cam(state, images, request):
    model = request.getfixturevalue(state)
    layers = [model.encoder[1], model.encoder[2]]
    compared(model, LayerCAM, layers, images, lambda t: gradcam.layer_cams(model, images, t))


def test_maps_depend_neither_on_the_batch_nor_on_what_is_frozen(images):
    model = Classifier().eval()
    expected = gradcam.grad_cams(model, "last", images, 1)
    by_layer = gradcam.layer_cams(model, images, 1)
    in_twos = gradcam.grad_cams(model.requires_grad_(False), "last", images, 1, per_batch=2)
    assert in_twos == pytest.approx(expected, abs=1e-5)
    in_twos = gradcam.layer_cams(model, images, 1, per_batch=2)
    assert in_twos == pytest.approx(by_layer, abs=1e-5)


def test_a_reinitialised_network_has_the_same_shape_and_other_weights(trained_model):
    before = {key: value.clone() for key, value in trained_model.state_dict().items()}
    one, two = (map_baselines.reinitialised(trained_model, seed=1).state_dict() for _ in range(2))
    fresh = Classifier().state_dict()
    for key, value in trained_model.state_dict().items():
        assert torch.equal(value, before[key]), "the model itself was changed"
        assert torch.equal(one[key], two[key])
        assert torch.equal(one[key], fresh[key] if "norm" in key else value) == ("norm" in key)


def test_networks_alike_are_certain_and_random_ones_differ(trained_model, splits):
    """Trainings with the same weights leave the choice of images as the only uncertainty."""
    test, methods = splits["test"], stages.gradcam.methods_at("last")
    some = test[np.flatnonzero(test.masks.any(axis=(1, 2)))]
    truth = some.images, some.masks, map_baselines.best_pixel(splits["train"].masks)
    one, three = (
        stages.gradcam.located([trained_model] * k, methods, *truth, 0, CPU) for k in (1, 3)
    )
    assert one["n"] == len(some) and set(one["methods"]) == {"gradcam", "layercam"}
    for name, found in one["methods"].items():
        again = three["methods"][name]
        assert found["value"] == pytest.approx(again["value"])
        assert found["value"] == pytest.approx(found["mean_map"]["value"])
        assert found["ci95"] == pytest.approx(again["ci95"])
        assert found["random"]["each"] == again["random"]["each"], "drawn by seed"
        assert len(set(found["random"]["each"])) > 5, "one random network would be no baseline"


def test_insertion_uses_the_images_that_each_training_has_seen(trained_model, splits):
    test, methods = splits["test"], stages.gradcam.methods_at("last")
    seen = [splits["train"][np.arange(n)] for n in (50, 100)]
    images = test.images[np.flatnonzero(test.labels == 1)[:20]]
    networks = [trained_model] * 2
    report = stages.gradcam.inserted(networks, methods, images, seen, 0, CPU)
    assert report["n"] == 20
    assert set(report["fixed"]) == {"centred", "mean_gradcam", "mean_layercam"}
    assert report["difference"]["gradcam"]["sd"] > 0, "other healthy images, other replacement"
