"""The network's size and shapes, and that weights travel whole or not at all."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stages.lib import model
from stages.lib.autoencoder import Autoencoder
from stages.lib.errors import UserError
from stages.lib.model import Classifier


@pytest.fixture
def used() -> Classifier:
    """A network whose batch norm has seen films, so that its statistics are its own."""
    torch.manual_seed(1)
    network = Classifier()
    network(torch.randn(16, 1, 28, 28) * 2 + 1)
    return network.eval()


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (5, 28, 28), generator=generator, dtype=torch.uint8)


def differing(one: dict, two: dict) -> list[str]:
    return [key for key in one if not torch.equal(one[key], two[key])]


def copied(network: torch.nn.Module) -> dict:
    return {key: value.clone() for key, value in network.state_dict().items()}


# --------------------------------------------------------------------------------- architecture


def test_default_network_has_18218_weights():
    assert model.n_parameters(Classifier()) == 18_218
    frozen = Classifier()
    frozen.encoder.requires_grad_(False)
    assert model.n_parameters(frozen) == 32 * 2 + 2


def test_shapes_at_every_stage_of_the_way():
    films = torch.zeros(2, 1, 28, 28)
    network = Classifier()
    shapes = [films.shape[1:]]
    for block in network.encoder:
        films = block(films)
        shapes.append(films.shape[1:])
    assert [tuple(shape) for shape in shapes] == [(1, 28, 28), (8, 14, 14), (16, 7, 7), (32, 3, 3)]
    films = torch.zeros(2, 1, 28, 28)
    assert network.embed(films).shape == (2, 32)
    assert network(films).shape == (2, 2)


@pytest.mark.parametrize(("width", "blocks", "maps"), [(4, 3, 16), (8, 1, 8), (2, 4, 16)])
def test_width_and_blocks_change_it(width, blocks, maps):
    network = Classifier(width, blocks)
    assert network.embed(torch.zeros(2, 1, 28, 28)).shape == (2, maps)
    convolutions = 9 * sum(
        before * after + after * after
        for before, after in [
            (1 if i == 0 else width * 2 ** (i - 1), width * 2**i) for i in range(blocks)
        ]
    )
    norms = sum(4 * width * 2**i for i in range(blocks))
    assert model.n_parameters(network) == convolutions + norms + maps * 2 + 2


def test_dropout_acts_in_training_only(images):
    films = model.standardise(images)
    torch.manual_seed(0)
    network = Classifier(dropout=0.5).eval()
    assert torch.equal(network(films), network(films))
    network.dropout.train()
    assert not torch.equal(network(films), network(films))


def test_embedding_is_what_the_head_sees(used, images):
    seen = []
    used.head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    films = model.standardise(images)
    logits = used(films)
    assert torch.equal(used.embed(films), seen[0])
    assert torch.equal(used.head(seen[0]), logits)


@pytest.mark.parametrize("side", [28, 64])
def test_any_side_that_is_large_enough(side):
    model.check_side(3, side)
    assert Classifier()(torch.zeros(2, 1, side, side)).shape == (2, 2)


def test_a_side_that_vanishes_is_refused_with_what_would_do():
    model.check_side(4, 16)
    with pytest.raises(UserError, match=r"^blocks = 5 .*28 pixels.*accepted: 1 to 4$"):
        model.check_side(5, 28)


# ----------------------------------------------------------------------------------- its outputs


def test_films_are_standardised_to_one_on_either_side():
    films = model.standardise(torch.tensor([[[0, 255]], [[51, 204]]], dtype=torch.uint8))
    assert films.shape == (2, 1, 1, 2)
    assert films.flatten().tolist() == pytest.approx([-1, 1, -0.6, 0.6])


def test_probabilities_are_the_second_outputs(used, images):
    with torch.no_grad():
        expected = used(model.standardise(images)).double().softmax(1)[:, 1].numpy()
    found = model.probabilities(used, images)
    assert found == pytest.approx(expected, abs=1e-6)
    assert found.dtype == np.float64 and len(set(found)) == 5


def test_batches_change_nothing(used, images):
    whole, in_twos = (model.in_batches(used, images, films) for films in (512, 2))
    assert in_twos.numpy() == pytest.approx(whole.numpy(), abs=1e-6)
    assert not whole.requires_grad


# ------------------------------------------------------------------------------ carrying weights


def test_an_encoder_is_carried_over_whole_and_the_head_is_not(used, images):
    torch.manual_seed(2)
    network = Classifier()
    head = copied(network.head)
    model.load_encoder(network, used.state_dict())
    assert not differing(used.encoder.state_dict(), network.encoder.state_dict())
    assert not differing(head, network.head.state_dict())
    films = model.standardise(images)
    assert torch.equal(network.eval().embed(films), used.embed(films))
    assert network.encoder[0].norm1.num_batches_tracked == 1


def test_an_autoencoders_encoder_fits_the_classifier():
    donor, network = Autoencoder(8, 3, 28, code=16, dropout=0.0), Classifier()
    donor(torch.randn(4, 1, 28, 28))
    model.load_encoder(network, donor.state_dict())
    assert not differing(donor.encoder.state_dict(), network.encoder.state_dict())


def test_the_donor_stays_its_own(used):
    network, before = Classifier(), copied(used)
    model.load_encoder(network, used.state_dict())
    network(torch.randn(4, 1, 28, 28))
    torch.nn.init.zeros_(network.encoder[0].conv1.weight)
    assert not differing(before, used.state_dict())


def test_no_weights_at_all_leave_the_network_as_it_is():
    network = Classifier()
    before = copied(network)
    model.load_encoder(network, {})
    assert not differing(before, network.state_dict())


def without(key: str) -> dict:
    return {k: v for k, v in Classifier().state_dict().items() if k != key}


@pytest.mark.parametrize(
    ("weights", "named"),
    [
        (Classifier(width=4).state_dict(), "given (4, 1, 3, 3), accepted (8, 1, 3, 3)"),
        (Classifier(blocks=2).state_dict(), "encoder.2.conv1.weight: given none, accepted (32, 16"),
        (Classifier(blocks=4).state_dict(), "encoder.3.conv1.weight: given (64, 32, 3, 3), accept"),
        (without("encoder.1.norm1.running_mean"), "running_mean: given none, accepted (16,)"),
        ({"weight": torch.zeros(2)}, "encoder.0.conv1.weight: given none, accepted (8, 1, 3, 3)"),
    ],
    ids=["width", "fewer blocks", "more blocks", "missing", "another network"],
)
def test_weights_that_do_not_fit_are_refused_and_nothing_is_loaded(weights, named):
    network = Classifier()
    before = copied(network)
    with pytest.raises(UserError) as error:
        model.load_encoder(network, weights)
    assert named in str(error.value) and "\n" not in str(error.value)
    assert "width and blocks" in str(error.value)
    assert not differing(before, network.state_dict())


# ----------------------------------------------------------------------------------------- files


ABOUT = {"run": "a", "data": "T", "architecture": {"width": 8, "blocks": 3}}


def test_what_is_saved_is_read(used, images, tmp_path):
    path = tmp_path / "new/folder/model.safetensors"
    model.save(path, used, ABOUT)
    weights, about = model.read(path)
    assert about == ABOUT
    assert weights.keys() == used.state_dict().keys()
    assert not differing(weights, used.state_dict())
    loaded = model.load_classifier(path)
    assert not loaded.training
    assert np.array_equal(model.probabilities(loaded, images), model.probabilities(used, images))


def test_another_architecture_is_rebuilt_from_its_file(tmp_path):
    network = Classifier(4, 2, 0.3, "local")
    about = {"width": 4, "blocks": 2, "dropout": 0.3, "contrast": "local"}
    model.save(tmp_path / "m.safetensors", network, {"architecture": about})
    loaded = model.load_classifier(tmp_path / "m.safetensors")
    assert loaded.dropout.p == 0.3 and loaded.contrast == "local"
    assert not differing(network.state_dict(), loaded.state_dict())


def test_same_weights_same_bytes(used, tmp_path):
    model.save(tmp_path / "a.safetensors", used, ABOUT)
    twin = Classifier()
    twin.load_state_dict(used.state_dict())
    # as training leaves them, and under another name
    model.save(tmp_path / "b.safetensors", twin.to(memory_format=torch.channels_last), ABOUT)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_the_empty_start_is_read_as_no_weights(tmp_path):
    save_file({}, tmp_path / "scratch.safetensors")
    assert model.read(tmp_path / "scratch.safetensors") == ({}, {})


# ---------------------------------------------------------------------------------- local contrast


def test_local_contrast_is_that_of_each_pixels_window():
    """Pixel by pixel; at the border the window ends with the film."""
    films = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    film, half = films[0, 0].numpy(), 5  # on either side of a pixel

    def means(values: np.ndarray) -> np.ndarray:
        low, high = lambda i: max(0, i - half), lambda i: i + half + 1
        return np.array(
            [
                [values[low(r) : high(r), low(c) : high(c)].mean() for c in range(28)]
                for r in range(28)
            ]
        )

    detail = film - means(film)
    expected = detail / (np.sqrt(means(detail**2)) + model.FLOOR)
    assert model.local_contrast(films)[0, 0].numpy() == pytest.approx(expected, abs=1e-5)


def test_local_contrast_overlooks_exposure_but_not_the_chest(images):
    films = model.standardise(images)
    darker = model.local_contrast(0.8 * films - 0.1)
    alike = torch.corrcoef(torch.stack([darker.flatten(), model.local_contrast(films).flatten()]))
    assert alike[0, 1] > 0.99
    assert model.local_contrast(torch.full((1, 1, 28, 28), 0.7)).abs().max() < 1e-4


def test_local_contrast_adds_no_weight_and_changes_what_the_network_says(images):
    network = Classifier(contrast="local").eval()
    assert model.n_parameters(network) == 18_218
    films, plain = model.standardise(images[:4]), Classifier().eval()
    plain.load_state_dict(network.state_dict())
    assert torch.equal(network(films), plain(model.local_contrast(films)))
    assert not torch.allclose(network(films), plain(films))
