"""GradCAM against the reference package, and the measures of its maps on maps made by hand."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from scipy import stats

from chestflow.errors import UserError
from chestflow.explain import gradcam, localisation
from chestflow.models.cnn import Classifier
from chestflow.models.inference import standardise
from chestflow.training import batches, classifier, freezing
from stages import evaluate

LAYERS = ["encoder.0.conv1", "encoder.1.conv2", "encoder.2.conv1", "last"]


@pytest.fixture(scope="module")
def random_model() -> Classifier:
    torch.manual_seed(0)
    return Classifier().eval()


@pytest.fixture(scope="module")
def trained_model(splits, settings) -> Classifier:
    torch.manual_seed(0)
    model = Classifier()
    images = [batches.Samples.to(torch.device("cpu"), splits[name]) for name in ("train", "val")]
    plan = freezing.phases("unfrozen", 3, 0.01, 0.1, 0.5)
    list(classifier.fit(model, *images, settings(epochs=3, batch_size=64), plan, seed=0))
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
            found = gradcam.grad_cams(model, layer, images, target)
            assert found.shape == expected.shape == (7, 28, 28)
            assert np.abs(found - expected).max() < 1e-5
            highest.append(found.max())
    assert max(highest) == 1, "an example without any evidence shows nothing"


def test_maps_are_from_0_to_1_and_differ_by_class(trained_model, images):
    both = [gradcam.grad_cams(trained_model, "last", images, target) for target in (0, 1)]
    for values in both:
        highest = values.max(axis=(1, 2))
        assert values.min() >= 0
        assert np.all((highest == 1) | (highest == 0))
    assert not np.array_equal(*both)


def test_maps_do_not_depend_on_the_batch(trained_model, images):
    whole = gradcam.grad_cams(trained_model, "last", images, 1)
    alone = [gradcam.grad_cams(trained_model, "last", images[i : i + 1], 1)[0] for i in range(7)]
    in_twos = gradcam.grad_cams(trained_model, "last", images, 1, per_batch=2)
    assert np.stack(alone) == pytest.approx(whole, abs=1e-5)
    assert in_twos == pytest.approx(whole, abs=1e-5)


def test_the_network_is_left_unchanged(trained_model, images):
    trained_model.zero_grad()
    before = {key: value.clone() for key, value in trained_model.state_dict().items()}
    gradcam.grad_cams(trained_model, "last", images, 1)
    assert all(parameter.grad is None for parameter in trained_model.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in trained_model.modules())
    assert all(torch.equal(before[k], v) for k, v in trained_model.state_dict().items())


def test_no_hook_is_left_after_a_failure(trained_model):
    layer = gradcam.conv_layer(trained_model, "last")
    with pytest.raises(RuntimeError):
        gradcam.grad_cam(trained_model, layer, torch.zeros(1, 3, 28, 28), 1)
    assert not layer._forward_hooks


def test_frozen_parameters_give_the_same_maps(images):
    torch.manual_seed(0)
    model = Classifier().eval()
    expected = gradcam.grad_cams(model, "last", images, 1)
    model.requires_grad_(False)
    assert np.array_equal(gradcam.grad_cams(model, "last", images, 1), expected)


def test_an_unknown_layer_is_refused_with_the_accepted_names(random_model):
    with pytest.raises(UserError) as error:
        gradcam.conv_layer(random_model, "encoder.9")
    assert "'encoder.9'" in str(error.value) and "\n" not in str(error.value)
    assert "accepted: last, encoder.0.conv1, " in str(error.value)
    for no_convolution in ("head", "", "encoder.0"):
        with pytest.raises(UserError):
            gradcam.conv_layer(random_model, no_convolution)


def test_the_last_layer_is_the_deepest_convolution(random_model):
    assert gradcam.conv_layer(random_model, "last") is random_model.encoder[-1].conv2


def test_a_reinitialised_network_has_the_same_shape_and_other_weights(trained_model):
    before = {key: value.clone() for key, value in trained_model.state_dict().items()}
    one, two = (gradcam.reinitialised(trained_model, seed=1) for _ in range(2))
    fresh = Classifier()
    for key, value in trained_model.state_dict().items():
        assert torch.equal(value, before[key]), "the model itself was changed"
        assert torch.equal(one.state_dict()[key], two.state_dict()[key])
        if key.endswith(("conv1.weight", "conv2.weight", "head.weight")):
            assert not torch.equal(one.state_dict()[key], value)
        elif "norm" in key:
            assert torch.equal(one.state_dict()[key], fresh.state_dict()[key])
    assert not one.training


# ------------------------------------------------------------------------ measures of the maps


def test_rank_correlations_equal_those_of_scipy():
    rng = np.random.default_rng(0)
    heat, others = np.round(rng.random((2, 6, 5, 4)), 1)  # rounded: ties
    others[0], others[1] = heat[0] * 2 + 1, -heat[1]
    expected = [stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(heat, others)]
    found = localisation.rank_correlations(np.stack([heat, others, heat]))
    assert found.shape == (6, 3, 3)
    assert found[:, 0, 1] == pytest.approx(expected) == found[:, 1, 2]
    assert found[:2, 0, 1] == pytest.approx([1, -1])
    heat[2] = 0
    undefined = np.isnan(localisation.rank_correlations(np.stack([heat, others]))[:, 0, 1]).tolist()
    assert undefined == [False, False, True] + [False] * 3


MAPS = np.zeros((4, 2, 4))
MASKS = np.zeros((4, 2, 4), bool)
MASKS[:, 0, :2] = True  # a quarter of the image
MAPS[0, 0, 1], MAPS[0, 1, 3] = 1.0, 0.5  # highest inside
MAPS[1, 1, 0], MAPS[1, 0, 0] = 1.0, 0.25  # highest outside
MAPS[2, 0, 0] = MAPS[2, 1, 0] = 1.0  # as high inside as outside; MAPS[3] stays empty


def test_pointing_hits_by_hand():
    assert localisation.pointing_hits(MAPS, MASKS).tolist() == [1, 0, 0.5, 0.25]


def test_mass_inside_by_hand():
    assert localisation.mass_inside(MAPS, MASKS) == pytest.approx([1 / 1.5, 0.25 / 1.25, 0.5, 0.25])


def test_random_maps_score_at_chance_level(splits):
    masks = splits["test"].masks
    masks = np.tile(masks[masks.any(axis=(1, 2))], (20, 1, 1))
    heat = np.random.default_rng(0).random(masks.shape)
    error = 4 * np.sqrt(masks.mean() / len(masks))
    assert localisation.pointing_hits(heat, masks).mean() == pytest.approx(masks.mean(), abs=error)
    assert localisation.mass_inside(heat, masks).mean() == pytest.approx(masks.mean(), abs=0.005)


def test_blocks_of_maps_are_reported_as_one():
    """With the hand-made maps above: what is shown are the diseased images' means."""
    masks = MASKS.copy()
    masks[0] = False  # a healthy image
    networks = np.concatenate([MAPS[None], np.random.default_rng(0).random((3, *MAPS.shape))])
    parts = [slice(0, 1), slice(1, 3), slice(3, 4)]

    def told(parts: list[slice]) -> dict:
        found = localisation.score((MAPS[part], masks[part]) for part in parts)
        random = localisation.beside_random((networks[:, part], masks[part]) for part in parts)
        return localisation.report(found, random)

    report = told(parts)
    assert (report["n"], report["n_masks"], report["empty_maps"]) == (4, 3, 0.25)
    assert report["chance"] == 0.25
    assert report["pointing_hits"] == pytest.approx((0 + 0.5 + 0.25) / 3)
    assert report["mass_inside"] == pytest.approx((0.25 / 1.25 + 0.5 + 0.25) / 3)
    expected = [localisation.mass_inside(random[1:], masks[1:]).mean() for random in networks[1:]]
    assert report["random_networks"]["mass_inside"] == pytest.approx(expected)
    for name, (low, high) in report["ci95"].items():
        assert low <= report[name] <= high
    whole = told([slice(0, 4)])
    assert whole.pop("random_weights") == {
        name: pytest.approx(values) for name, values in report.pop("random_weights").items()
    }
    assert whole.pop("random_networks").keys() == report.pop("random_networks").keys()
    assert whole == report
    found = localisation.score([(MAPS, None)])
    without = localisation.report(found, localisation.beside_random([(networks, None)]))
    assert set(without) == {"n", "empty_maps", "random_weights", "random_networks"}
    assert set(without["random_weights"]) == {"rank_correlation", "among_themselves"}


def test_every_random_network_counts_by_itself_and_against_all_others():
    """One that draws what the trained one draws, its opposite, and one without any map, which is
    defined nowhere and left out; what they reach has a mean and a range, and no interval."""
    heat = np.random.default_rng(0).random((5, 4, 4))
    random = localisation.beside_random(
        [(np.stack([heat, heat, -heat, np.zeros_like(heat)]), None)]
    )
    assert random["rank_correlation"] == pytest.approx([1, -1, np.nan], nan_ok=True)
    assert random["among_themselves"] == pytest.approx([-1, -1, np.nan], nan_ok=True)
    report = localisation.report(localisation.score([(heat, None)]), random)
    assert report["random_weights"]["rank_correlation"] == pytest.approx([0, -1, 1])
    assert "ci95" not in report
    nothing = np.zeros((3, 5, 4, 4))
    undefined = localisation.beside_random([(nothing, np.zeros((5, 4, 4), bool))])
    assert all(np.isnan(values).all() for values in undefined.values())
    assert np.isnan(localisation.mean_and_range(undefined["pointing_hits"])).all()


def test_the_baseline_is_twenty_networks_drawn_anew(trained_model, splits):
    """None with the weights that the run's seed gives, where its training may have begun."""
    test = splits["test"][np.arange(40)]
    run = evaluate.Trained(trained_model, {"test": test}, True, torch.device("cpu"))
    parts = list(evaluate.beside_random(run, "last", seed=0))
    found = np.concatenate([networks for networks, _ in parts], axis=1)
    assert found.shape == (21, 40, 28, 28)
    assert len(np.unique(found.reshape(21, -1), axis=0)) == 21
    images = torch.from_numpy(test.images)
    own = gradcam.grad_cams(trained_model, "last", images, 1)
    first = gradcam.grad_cams(gradcam.reinitialised(trained_model, 0), "last", images, 1)
    assert found[0] == pytest.approx(own, abs=1e-5)
    assert not any(np.allclose(maps_of, first, atol=1e-5) for maps_of in found)
    again = np.concatenate([n for n, _ in evaluate.beside_random(run, "last", seed=0)], axis=1)
    assert np.array_equal(again, found)
    scored = localisation.beside_random(iter(parts))["pointing_hits"]
    assert scored.max() - scored.min() > 0.1, "one draw is no baseline"
