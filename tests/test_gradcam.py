"""GradCAM against the reference package, and its baseline of random networks."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

import stages.gradcam
from chestflow.explain import gradcam, localisation
from chestflow.models.cnn import Classifier
from chestflow.models.inference import standardise
from chestflow.training import batches, classifier, freezing

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
    phases = freezing.phases("unfrozen", 3, 0.01, 0.1, 0.5)
    list(classifier.fit(model, *images, settings(steps=10), phases, seed=0))
    return model.eval()


@pytest.fixture(scope="module")
def images(splits) -> torch.Tensor:
    return torch.from_numpy(splits["test"].images[:7])


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("state", ["random_model", "trained_model"])
def test_maps_equal_those_of_pytorch_grad_cam(state, layer, images, request):
    model = request.getfixturevalue(state)
    inputs, highest = standardise(images), []
    with GradCAM(model=model, target_layers=[gradcam.conv_layer(model, layer)]) as cam:
        for target in (0, 1):
            targets = [ClassifierOutputTarget(target)] * len(inputs)
            expected = cam(input_tensor=inputs, targets=targets)
            maps = gradcam.grad_cams(model, layer, images, target)
            assert maps.shape == expected.shape == (7, 28, 28)
            assert np.abs(maps - expected).max() < 1e-5
            assert maps.min() >= 0 and set(maps.max(axis=(1, 2))) <= {0, 1}
            highest.append(maps.max())
    assert max(highest) == 1, "an example without any evidence shows nothing"


def test_maps_depend_neither_on_the_batch_nor_on_what_is_frozen(images):
    model = Classifier().eval()
    expected = gradcam.grad_cams(model, "last", images, 1)
    in_twos = gradcam.grad_cams(model.requires_grad_(False), "last", images, 1, per_batch=2)
    assert in_twos == pytest.approx(expected, abs=1e-5)


def test_a_reinitialised_network_has_the_same_shape_and_other_weights(trained_model):
    before = {key: value.clone() for key, value in trained_model.state_dict().items()}
    one, two = (gradcam.reinitialised(trained_model, seed=1).state_dict() for _ in range(2))
    fresh = Classifier().state_dict()
    for key, value in trained_model.state_dict().items():
        assert torch.equal(value, before[key]), "the model itself was changed"
        assert torch.equal(one[key], two[key])
        assert torch.equal(one[key], fresh[key] if "norm" in key else value) == ("norm" in key)


def test_the_baseline_is_twenty_networks_with_weights_of_their_own(trained_model, splits):
    """None with the weights that the run's seed gives, where its training may have begun."""
    test = splits["test"][np.arange(40)]
    one, two = (
        list(stages.gradcam.beside_random(trained_model, test, "last", 0, CPU)) for _ in range(2)
    )
    maps, again = (np.concatenate([block for block, _ in blocks], axis=1) for blocks in (one, two))
    assert maps.shape == (21, 40, 28, 28) and np.array_equal(maps, again)
    assert len(np.unique(maps.reshape(21, -1), axis=0)) == 21
    images = torch.from_numpy(test.images)
    own = gradcam.grad_cams(trained_model, "last", images, 1)
    assert maps[0] == pytest.approx(own, abs=1e-5)
    start = gradcam.grad_cams(gradcam.reinitialised(trained_model, 0), "last", images, 1)
    assert not any(np.allclose(network, start, atol=1e-5) for network in maps)
    hits = localisation.beside_random(one)["pointing_hits"]
    assert hits.max() - hits.min() > 0.1, "one random network would be no baseline"
