"""The autoencoder shares the classifier's encoder, learns, and is held against right baselines."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from chestflow.errors import UserError
from chestflow.metrics import reconstruction
from chestflow.models import autoencoder, checkpoint, cnn
from chestflow.sources import phantom
from chestflow.training import autoencoder as training


@pytest.fixture(scope="module")
def images() -> dict[str, torch.Tensor]:
    arrays = phantom.archive("chestmnist", {"train": 300, "val": 60, "test": 40}, seed=3)
    return {s: torch.from_numpy(arrays[f"{s}_images"]) for s in ("train", "val", "test")}


def build(side: int = 28, **kwargs) -> autoencoder.Autoencoder:
    torch.manual_seed(0)
    return autoencoder.Autoencoder(
        **{"width": 8, "blocks": 3, "code": 16, "dropout": 0.0} | kwargs, side=side
    )


@pytest.mark.parametrize("side", [28, 30, 64])
def test_reconstructions_are_as_large_as_the_images(side):
    assert build(side)(torch.zeros(2, 1, side, side)).shape == (2, 1, side, side)


def test_everything_passes_through_the_code():
    network = build(code=5)
    assert network.squeeze(network.encoder(torch.randn(3, 1, 28, 28))).shape == (3, 5)


def test_encoder_carries_over_to_the_classifier():
    network, classifier = build().eval(), cnn.Classifier().eval()
    for norm in (m for m in network.encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.running_mean.uniform_(-1, 1)
    checkpoint.load_encoder(classifier, network.state_dict())
    x = torch.randn(4, 1, 28, 28)
    assert torch.equal(classifier.encoder(x), network.encoder(x))


def test_dropout_acts_in_the_decoder_and_only_during_training():
    network, x = build(dropout=0.5), torch.randn(2, 1, 28, 28)
    code = network.squeeze(network.encoder(x))
    decode = lambda: network.decoder(network.expand(code))  # noqa: E731
    assert not torch.equal(decode(), decode())
    network.eval()
    assert torch.equal(decode(), decode())


def test_training_beats_the_mean_image_and_keeps_the_best_weights(images):
    network = build()
    settings = SimpleNamespace(lr=0.01, epochs=8, patience=8, batch_size=32, weight_decay=1e-4)
    rows = list(training.fit(network, images["train"], images["val"], settings, seed=0))
    wanted = autoencoder.unit(images["val"])
    error = ((autoencoder.reconstruct(network, images["val"]) - wanted) ** 2).mean()
    assert error == pytest.approx(min(row["val_mse"] for row in rows), rel=1e-4)
    assert error == pytest.approx([r for r in rows if r["improved"]][-1]["val_mse"], rel=1e-4)
    mean = reconstruction.baselines(autoencoder.unit(images["train"]), 4)(wanted)["mean_image"]
    assert error < 0.8 * ((mean - wanted) ** 2).mean()


def test_baselines(images):
    train, test = (autoencoder.unit(images[name]) for name in ("train", "test"))
    rebuilt = reconstruction.baselines(train, code=10)(test)
    np.testing.assert_array_equal(rebuilt["mean_image"][7], train.mean(axis=0))
    peer = PCA(10, svd_solver="full").fit(train.reshape(300, -1))
    expected = peer.inverse_transform(peer.transform(test.reshape(40, -1))).clip(0, 1)
    np.testing.assert_allclose(rebuilt["pca"].reshape(40, -1), expected, atol=1e-5)
    # As many components as there are images: nothing of the training images is lost.
    np.testing.assert_allclose(reconstruction.baselines(train, 300)(train)["pca"], train, atol=1e-4)


def test_fidelity():
    images = np.full((2, 28, 28), 0.5, np.float32)
    images[1, 5:9] = 0.9
    scores = reconstruction.fidelity(images, images + np.float32(0.1))
    np.testing.assert_allclose(scores["mse"], 0.01, rtol=1e-4)
    np.testing.assert_allclose(scores["psnr"], 20, rtol=1e-4)
    assert reconstruction.fidelity(images, images)["ssim"] == pytest.approx(1)
    assert (scores["ssim"] < 1).all()


def test_an_autoencoder_of_images_of_another_side_is_refused(tmp_path):
    about = {"architecture": {"width": 4, "blocks": 2}}
    network = autoencoder.Autoencoder(width=4, blocks=2, side=28, code=5, dropout=0.0)
    checkpoint.save(tmp_path, network, about)
    assert autoencoder.load(tmp_path, 28).training is False
    with pytest.raises(UserError, match="another side than 64 pixels"):
        autoencoder.load(tmp_path, 64)
