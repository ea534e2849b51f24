"""GradCAM against the package of its field, and the measures of its maps on maps made by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from scipy import stats

from stages.gradcam import means_with_intervals
from stages.lib import explanation, parameters, training
from stages.lib.errors import UserError
from stages.lib.model import Classifier, standardise

ROOT = Path(__file__).parents[1]
LAYERS = ["encoder.0.conv1", "encoder.1.conv2", "encoder.2.conv1", "last"]


@pytest.fixture(scope="module")
def random_model() -> Classifier:
    torch.manual_seed(0)
    return Classifier().eval()


@pytest.fixture(scope="module")
def trained_model(splits, settings) -> Classifier:
    torch.manual_seed(0)
    model = Classifier()
    films = [training.Films.to(torch.device("cpu"), splits[name]) for name in ("train", "val")]
    plan = training.phases("unfrozen", 3, 0.01, 0.1, 0.5)
    list(training.fit(model, *films, settings(epochs=3, batch_size=64), plan, seed=0))
    return model.eval()


@pytest.fixture(scope="module")
def images(splits) -> torch.Tensor:
    return torch.from_numpy(splits["test"].images[:7])


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("state", ["random_model", "trained_model"])
def test_maps_equal_those_of_pytorch_grad_cam(state, layer, images, request):
    model = request.getfixturevalue(state)
    films, highest = standardise(images), []
    with GradCAM(model=model, target_layers=[explanation.conv_layer(model, layer)]) as cam:
        for target in (0, 1):
            targets = [ClassifierOutputTarget(target)] * len(films)
            expected = cam(input_tensor=films, targets=targets)
            maps = explanation.grad_cams(model, layer, images, target)
            assert maps.shape == expected.shape == (7, 28, 28)
            assert np.abs(maps - expected).max() < 1e-5
            highest.append(maps.max())
    assert max(highest) == 1, "an example without any evidence shows nothing"


def test_maps_are_from_0_to_1_and_differ_by_class(trained_model, images):
    maps = [explanation.grad_cams(trained_model, "last", images, target) for target in (0, 1)]
    for values in maps:
        highest = values.max(axis=(1, 2))
        assert values.min() >= 0
        assert np.all((highest == 1) | (highest == 0))
    assert not np.array_equal(*maps)


def test_maps_do_not_depend_on_the_batch(trained_model, images):
    whole = explanation.grad_cams(trained_model, "last", images, 1)
    alone = [
        explanation.grad_cams(trained_model, "last", images[i : i + 1], 1)[0] for i in range(7)
    ]
    in_twos = explanation.grad_cams(trained_model, "last", images, 1, films=2)
    assert np.stack(alone) == pytest.approx(whole, abs=1e-5)
    assert in_twos == pytest.approx(whole, abs=1e-5)


def test_nothing_is_left_behind(trained_model, images):
    trained_model.zero_grad()
    before = {key: value.clone() for key, value in trained_model.state_dict().items()}
    explanation.grad_cams(trained_model, "last", images, 1)
    assert all(parameter.grad is None for parameter in trained_model.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in trained_model.modules())
    assert all(torch.equal(before[k], v) for k, v in trained_model.state_dict().items())


def test_no_hook_is_left_after_a_failure(trained_model):
    layer = explanation.conv_layer(trained_model, "last")
    with pytest.raises(RuntimeError):
        explanation.grad_cam(trained_model, layer, torch.zeros(1, 3, 28, 28), 1)
    assert not layer._forward_hooks


def test_parameters_need_no_gradients(images):
    torch.manual_seed(0)
    model = Classifier().eval()
    expected = explanation.grad_cams(model, "last", images, 1)
    model.requires_grad_(False)
    assert np.array_equal(explanation.grad_cams(model, "last", images, 1), expected)


def test_unknown_layer_is_refused_with_the_names_there_are(random_model):
    with pytest.raises(UserError) as error:
        explanation.conv_layer(random_model, "encoder.9")
    assert "'encoder.9'" in str(error.value) and "\n" not in str(error.value)
    assert "accepted: last, encoder.0.conv1, " in str(error.value)
    for no_convolution in ("head", "", "encoder.0"):
        with pytest.raises(UserError):
            explanation.conv_layer(random_model, no_convolution)


def test_last_layer_is_the_deepest_convolution(random_model):
    assert explanation.conv_layer(random_model, "last") is random_model.encoder[-1].conv2


def test_reinitialised_network_is_another_of_the_same_shape(trained_model):
    before = {key: value.clone() for key, value in trained_model.state_dict().items()}
    one, two = (explanation.reinitialised(trained_model, seed=1) for _ in range(2))
    fresh = Classifier()
    for key, value in trained_model.state_dict().items():
        assert torch.equal(value, before[key]), "the model itself was changed"
        assert torch.equal(one.state_dict()[key], two.state_dict()[key])
        if key.endswith(("conv1.weight", "conv2.weight", "head.weight")):
            assert not torch.equal(one.state_dict()[key], value)
        elif "norm" in key:
            assert torch.equal(one.state_dict()[key], fresh.state_dict()[key])
    assert not one.training


# -------------------------------------------------------------------------- what maps are worth


@pytest.mark.parametrize("values", [[np.nan, np.nan, np.nan], [0.2, np.nan, 0.4]])
def test_films_without_a_score_are_left_out_of_its_mean(values):
    """Even if no film has one: a network may see no evidence for disease anywhere."""
    params = parameters.load(ROOT / "params.yaml")
    report = means_with_intervals({"rank_correlation": np.array(values)}, params)
    if np.isnan(values).all():
        assert np.isnan([report["rank_correlation"], *report["ci95"]["rank_correlation"]]).all()
    else:
        assert report["rank_correlation"] == pytest.approx(0.3)
        assert report["ci95"]["rank_correlation"] == pytest.approx([0.2, 0.4])


def test_rank_correlations_equal_scipys():
    rng = np.random.default_rng(0)
    maps, others = np.round(rng.random((2, 6, 5, 4)), 1)  # rounded: ties
    others[0], others[1] = maps[0] * 2 + 1, -maps[1]
    expected = [stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(maps, others)]
    found = explanation.rank_correlations(maps, others)
    assert found == pytest.approx(expected)
    assert found[:2] == pytest.approx([1, -1])
    maps[2] = 0
    assert (
        np.isnan(explanation.rank_correlations(maps, others)).tolist()
        == [False, False, True] + [False] * 3
    )


MAPS = np.zeros((4, 2, 4))
MASKS = np.zeros((4, 2, 4), bool)
MASKS[:, 0, :2] = True  # a quarter of the film
MAPS[0, 0, 1], MAPS[0, 1, 3] = 1.0, 0.5  # highest inside
MAPS[1, 1, 0], MAPS[1, 0, 0] = 1.0, 0.25  # highest outside
MAPS[2, 0, 0] = MAPS[2, 1, 0] = 1.0  # as high inside as outside; MAPS[3] stays empty


def test_pointing_hits_by_hand():
    assert explanation.pointing_hits(MAPS, MASKS).tolist() == [1, 0, 0.5, 0.25]


def test_mass_inside_by_hand():
    assert explanation.mass_inside(MAPS, MASKS) == pytest.approx([1 / 1.5, 0.25 / 1.25, 0.5, 0.25])


def test_random_maps_score_the_chance_level(splits):
    masks = splits["test"].masks
    masks = np.tile(masks[masks.any(axis=(1, 2))], (20, 1, 1))
    maps = np.random.default_rng(0).random(masks.shape)
    error = 4 * np.sqrt(masks.mean() / len(masks))
    assert explanation.pointing_hits(maps, masks).mean() == pytest.approx(masks.mean(), abs=error)
    assert explanation.mass_inside(maps, masks).mean() == pytest.approx(masks.mean(), abs=0.005)
