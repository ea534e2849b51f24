"""The network's size and shapes; weights are carried over completely or not at all."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from stages.scratch import scratch

from chestflow.errors import UserError
from chestflow.models import checkpoint, cnn, inference
from chestflow.models.autoencoder import Autoencoder
from chestflow.models.cnn import Classifier


@pytest.fixture
def used() -> Classifier:
    """A network whose batch norm has seen images, so that its statistics are its own."""
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


def test_the_default_network_has_18218_trainable_parameters():
    assert cnn.n_parameters(Classifier()) == 18_218
    frozen = Classifier()
    frozen.encoder.requires_grad_(False)
    assert cnn.n_parameters(frozen) == 32 * 2 + 2


def test_shapes_after_every_block():
    images = torch.zeros(2, 1, 28, 28)
    network = Classifier()
    shapes = [images.shape[1:]]
    for block in network.encoder:
        images = block(images)
        shapes.append(images.shape[1:])
    assert [tuple(shape) for shape in shapes] == [(1, 28, 28), (8, 14, 14), (16, 7, 7), (32, 3, 3)]
    images = torch.zeros(2, 1, 28, 28)
    assert network.embed(images).shape == (2, 32)
    assert network(images).shape == (2, 2)


@pytest.mark.parametrize(("width", "blocks", "maps"), [(4, 3, 16), (8, 1, 8), (2, 4, 16)])
def test_width_and_blocks_change_the_number_of_parameters(width, blocks, maps):
    network = Classifier(width, blocks)
    assert network.embed(torch.zeros(2, 1, 28, 28)).shape == (2, maps)
    convolutions = 9 * sum(
        before * after + after * after
        for before, after in [
            (1 if i == 0 else width * 2 ** (i - 1), width * 2**i) for i in range(blocks)
        ]
    )
    norms = sum(4 * width * 2**i for i in range(blocks))
    assert cnn.n_parameters(network) == convolutions + norms + maps * 2 + 2


def test_dropout_acts_only_during_training(images):
    inputs = inference.standardise(images)
    torch.manual_seed(0)
    network = Classifier(dropout=0.5).eval()
    assert torch.equal(network(inputs), network(inputs))
    network.dropout.train()
    assert not torch.equal(network(inputs), network(inputs))


def test_the_embedding_is_the_input_of_the_head(used, images):
    seen = []
    used.head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    inputs = inference.standardise(images)
    logits = used(inputs)
    assert torch.equal(used.embed(inputs), seen[0])
    assert torch.equal(used.head(seen[0]), logits)


@pytest.mark.parametrize("side", [28, 64])
def test_any_side_that_is_large_enough_is_accepted(side):
    cnn.check_side(3, side)
    assert Classifier()(torch.zeros(2, 1, side, side)).shape == (2, 2)


def test_an_image_that_would_vanish_is_refused_with_the_accepted_blocks():
    cnn.check_side(4, 16)
    with pytest.raises(UserError, match=r"^blocks = 5 .*28 pixels.*accepted: 1 to 4$"):
        cnn.check_side(5, 28)


# ----------------------------------------------------------------------------------- its outputs


def test_images_are_standardised_to_the_range_from_minus_1_to_1():
    images = inference.standardise(torch.tensor([[[0, 255]], [[51, 204]]], dtype=torch.uint8))
    assert images.shape == (2, 1, 1, 2)
    assert images.flatten().tolist() == pytest.approx([-1, 1, -0.6, 0.6])


def test_probabilities_are_those_of_the_second_output(used, images):
    with torch.no_grad():
        expected = used(inference.standardise(images)).double().softmax(1)[:, 1].numpy()
    found = inference.probabilities(used, images)
    assert found == pytest.approx(expected, abs=1e-6)
    assert found.dtype == np.float64 and len(set(found)) == 5


def test_the_batch_size_does_not_affect_the_outputs(used, images):
    whole, in_twos = (inference.in_batches(used, images, inputs) for inputs in (512, 2))
    assert in_twos.numpy() == pytest.approx(whole.numpy(), abs=1e-6)
    assert not whole.requires_grad


# ------------------------------------------------------------------------------ carrying weights


def test_the_whole_encoder_is_carried_over_but_not_the_head(used, images):
    torch.manual_seed(2)
    network = Classifier()
    head = copied(network.head)
    checkpoint.load_encoder(network, used.state_dict())
    assert not differing(used.encoder.state_dict(), network.encoder.state_dict())
    assert not differing(head, network.head.state_dict())
    inputs = inference.standardise(images)
    assert torch.equal(network.eval().embed(inputs), used.embed(inputs))
    assert network.encoder[0].norm1.num_batches_tracked == 1


def test_an_autoencoders_encoder_fits_the_classifier():
    donor, network = Autoencoder(8, 3, 28, code=16, dropout=0.0), Classifier()
    donor(torch.randn(4, 1, 28, 28))
    checkpoint.load_encoder(network, donor.state_dict())
    assert not differing(donor.encoder.state_dict(), network.encoder.state_dict())


def test_carried_over_weights_are_copies(used):
    network, before = Classifier(), copied(used)
    checkpoint.load_encoder(network, used.state_dict())
    network(torch.randn(4, 1, 28, 28))
    torch.nn.init.zeros_(network.encoder[0].conv1.weight)
    assert not differing(before, used.state_dict())


def test_an_empty_start_leaves_the_network_unchanged():
    network = Classifier()
    before = copied(network)
    checkpoint.load_encoder(network, {})
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
        checkpoint.load_encoder(network, weights)
    assert named in str(error.value) and "\n" not in str(error.value)
    assert "width and blocks" in str(error.value)
    assert not differing(before, network.state_dict())


# ----------------------------------------------------------------------------------------- files


ABOUT = {"run": "a", "data": "T", "architecture": {"width": 8, "blocks": 3}}


def test_saved_weights_are_read_back(used, images, tmp_path):
    path = tmp_path / "new/folder/model.safetensors"
    checkpoint.save(path, used, ABOUT)
    weights, about = checkpoint.read(path)
    assert about == ABOUT
    assert weights.keys() == used.state_dict().keys()
    assert not differing(weights, used.state_dict())
    loaded = checkpoint.load_classifier(path)
    assert not loaded.training
    assert np.array_equal(
        inference.probabilities(loaded, images), inference.probabilities(used, images)
    )


def test_the_architecture_is_rebuilt_from_the_file(tmp_path):
    network = Classifier(4, 2, 0.3, "local")
    about = {"width": 4, "blocks": 2, "dropout": 0.3, "contrast": "local"}
    checkpoint.save(tmp_path / "m.safetensors", network, {"architecture": about})
    loaded = checkpoint.load_classifier(tmp_path / "m.safetensors")
    assert loaded.dropout.p == 0.3 and loaded.contrast == "local"
    assert not differing(network.state_dict(), loaded.state_dict())


def test_same_weights_same_bytes(used, tmp_path):
    checkpoint.save(tmp_path / "a", used, ABOUT)
    twin = Classifier()
    twin.load_state_dict(used.state_dict())
    # as training leaves them, and under another name
    checkpoint.save(tmp_path / "b", twin.to(memory_format=torch.channels_last), ABOUT)
    one, two = (tmp_path / name / checkpoint.FILE for name in ("a", "b"))
    assert one.read_bytes() == two.read_bytes()


def test_the_empty_start_holds_no_weights(tmp_path):
    save_file({}, tmp_path / checkpoint.FILE)
    assert checkpoint.read(tmp_path) == ({}, {})
    assert checkpoint.read_start(tmp_path, 2) == ({}, {})
    assert checkpoint.load_start(tmp_path, 2) is None


def test_training_k_starts_from_training_k_of_its_start(used, tmp_path):
    """Not from the one that is shown, which a careless path would find first."""
    torch.manual_seed(7)
    others = [Classifier() for _ in range(2)]
    about = {"architecture": {"width": 8, "blocks": 3, "dropout": 0.0, "contrast": "global"}}
    checkpoint.save(tmp_path, used, about)
    for k, network in enumerate(others):
        checkpoint.save(checkpoint.training(tmp_path, k), network, about)
    for k, network in enumerate(others):
        start = checkpoint.load_start(tmp_path, k)
        assert torch.equal(start.encoder[0].conv1.weight, network.encoder[0].conv1.weight)
        assert not torch.equal(start.encoder[0].conv1.weight, used.encoder[0].conv1.weight)


# ---------------------------------------------------------------------------------- local contrast


def test_local_contrast_is_taken_over_the_window_around_each_pixel():
    """Pixel by pixel; at the border the window ends with the image."""
    images = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    image, half = images[0, 0].numpy(), 5  # on either side of a pixel

    def means(values: np.ndarray) -> np.ndarray:
        low, high = lambda i: max(0, i - half), lambda i: i + half + 1
        return np.array(
            [
                [values[low(r) : high(r), low(c) : high(c)].mean() for c in range(28)]
                for r in range(28)
            ]
        )

    detail = image - means(image)
    expected = detail / (np.sqrt(means(detail**2)) + cnn.FLOOR)
    assert cnn.local_contrast(images)[0, 0].numpy() == pytest.approx(expected, abs=1e-5)


def test_local_contrast_removes_exposure_but_keeps_the_chest(images):
    inputs = inference.standardise(images)
    darker = cnn.local_contrast(0.8 * inputs - 0.1)
    alike = torch.corrcoef(torch.stack([darker.flatten(), cnn.local_contrast(inputs).flatten()]))
    assert alike[0, 1] > 0.99
    assert cnn.local_contrast(torch.full((1, 1, 28, 28), 0.7)).abs().max() < 1e-4


def test_local_contrast_adds_no_parameters_and_changes_the_outputs(images):
    network = Classifier(contrast="local").eval()
    assert cnn.n_parameters(network) == 18_218
    inputs, plain = inference.standardise(images[:4]), Classifier().eval()
    plain.load_state_dict(network.state_dict())
    assert torch.equal(network(inputs), plain(cnn.local_contrast(inputs)))
    assert not torch.allclose(network(inputs), plain(inputs))


# ------------------------------------------------------------------- where weights come from


def test_a_digest_is_of_the_bytes_of_the_file(used, tmp_path):
    for folder in ("a", "b"):
        checkpoint.save(tmp_path / folder, used, {"run": "x"})
    known = checkpoint.digest(tmp_path / "a")
    content = (tmp_path / "a" / checkpoint.FILE).read_bytes()
    assert known == hashlib.sha256(content).hexdigest()[:12]
    assert known == checkpoint.digest(tmp_path / "b")
    checkpoint.save(tmp_path / "b", used, {"run": "y"})
    assert known != checkpoint.digest(tmp_path / "b")


def test_an_encoder_of_another_contrast_is_told_in_one_line(tmp_path):
    checkpoint.save(tmp_path, Classifier(), {"run": "chest", "architecture": {"contrast": "local"}})
    about = checkpoint.read(tmp_path)[1]
    assert checkpoint.contrast_mismatch(about, "local") is None
    assert checkpoint.contrast_mismatch(about, "global") == (
        "the encoder of run chest was trained with contrast = local, this run uses global:"
        " it has to adapt to other inputs"
    )


def test_an_autoencoder_counts_as_global_and_the_empty_start_as_anything(tmp_path):
    scratch(tmp_path)
    autoencoder = {"dataset": "chestmnist", "architecture": {"width": 8, "blocks": 3}}
    assert checkpoint.contrast_mismatch(autoencoder, "global") is None
    told = checkpoint.contrast_mismatch(autoencoder, "local")
    assert told is not None and told.startswith("the encoder of the autoencoder was trained with")
    for contrast in ("global", "local"):
        assert checkpoint.contrast_mismatch(checkpoint.read(tmp_path)[1], contrast) is None
