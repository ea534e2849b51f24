"""The network: its size, its layers, what it computes, and local contrast."""

import numpy as np
import pytest
import torch
from torch import nn

from chestflow.models import cnn, inference
from chestflow.models.cnn import Classifier


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (5, 28, 28), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("width", "blocks", "channels", "parameters"),
    [(8, 3, 32, 18_218), (4, 3, 16, 4_646), (8, 1, 8, 698), (2, 4, 16, 4_744)],
)
def test_number_of_parameters(width, blocks, channels, parameters):
    """18,218 as the sheet has it; the others counted by hand."""
    model = Classifier(width, blocks)
    assert cnn.n_parameters(model) == parameters
    assert model.embed(torch.zeros(2, 1, 28, 28)).shape == (2, channels)


def test_blocks_have_the_layers_of_the_sheet_but_pool_before_the_second_relu():
    model, images, shapes = Classifier().eval(), torch.randn(4, 1, 28, 28), []
    names = "Conv2d BatchNorm2d LeakyReLU Conv2d BatchNorm2d MaxPool2d LeakyReLU"
    for block in model.encoder:
        assert " ".join(type(layer).__name__ for layer in block) == names
        sheet = nn.Sequential(*list(block)[:5], block.relu2, block.pool)
        expected, images = sheet(images), block(images)
        assert torch.equal(images, expected)
        shapes.append(tuple(images.shape[1:]))
    assert shapes == [(8, 14, 14), (16, 7, 7), (32, 3, 3)]
    assert str(model).count("max pooling before the second ReLU") == 3


def test_images_are_standardised_to_the_range_from_minus_1_to_1():
    images = inference.standardise(torch.tensor([[[0, 255]], [[51, 204]]], dtype=torch.uint8))
    assert images.shape == (2, 1, 1, 2)
    assert images.flatten().tolist() == pytest.approx([-1, 1, -0.6, 0.6])


def test_the_second_output_is_the_probability_of_disease_whatever_the_batches(images):
    model = Classifier(dropout=0.5).eval()
    vectors = model.embed(inference.standardise(images))
    logits = model.head(vectors)
    expected = logits.detach().double().softmax(1)[:, 1].numpy()
    assert inference.probabilities(model, images) == pytest.approx(expected, abs=1e-6)
    in_twos = inference.in_batches(model, images, 2)
    assert in_twos.numpy() == pytest.approx(logits.detach().numpy(), abs=1e-6)


def test_local_contrast_is_taken_over_the_window_around_each_pixel():
    """Pixel by pixel; at the border the window ends with the image."""
    images = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    image, half = images[0, 0].numpy(), 5  # on either side of a pixel
    windows = [slice(max(0, i - half), i + half + 1) for i in range(28)]

    def means(values: np.ndarray) -> np.ndarray:
        return np.array([[values[row, column].mean() for column in windows] for row in windows])

    detail = image - means(image)
    expected = detail / (np.sqrt(means(detail**2)) + cnn.EPSILON)
    assert cnn.local_contrast(images)[0, 0].numpy() == pytest.approx(expected, abs=1e-5)


def test_a_network_of_local_contrast_has_the_same_parameters(images):
    local, plain = Classifier(contrast="local").eval(), Classifier().eval()
    plain.load_state_dict(local.state_dict())
    inputs = inference.standardise(images)
    assert torch.equal(local(inputs), plain(cnn.local_contrast(inputs)))
    assert not torch.allclose(local(inputs), plain(inputs))
