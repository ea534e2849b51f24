"""The autoencoder shares the classifier's encoder, learns, and is held against fair baselines."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from chestflow.errors import UserError
from chestflow.metrics import reconstruction
from chestflow.models import autoencoder, checkpoint
from chestflow.sources import phantom
from chestflow.training import autoencoder as training

ENCODER = {"width": 8, "blocks": 3, "contrast": "global"}


@pytest.fixture(scope="module")
def images() -> dict[str, torch.Tensor]:
    arrays = phantom.archive("chestmnist", {"train": 300, "val": 60, "test": 40}, seed=3)
    return {s: torch.from_numpy(arrays[f"{s}_images"]) for s in ("train", "val", "test")}


def build(side: int = 28, code: int = 16, **changes) -> autoencoder.Autoencoder:
    torch.manual_seed(0)
    return autoencoder.Autoencoder(**ENCODER | changes, side=side, code=code, dropout=0.0)


@pytest.mark.parametrize("side", [28, 30, 64])
def test_reconstructions_are_as_large_as_the_images_and_pass_through_the_code(side):
    model, images = build(side, code=5), torch.zeros(2, 1, side, side)
    assert model.squeeze(model.encoder(images)).shape == (2, 5)
    assert model(images).shape == images.shape


def train(images, contrast="global", **settings) -> tuple[autoencoder.Autoencoder, list[dict]]:
    chosen = SimpleNamespace(batch_size=32, weight_decay=1e-4, **settings)
    model = build(contrast=contrast)
    return model, list(training.fit(model, images["train"], images["val"], chosen, seed=0))


@pytest.mark.parametrize("contrast", ["global", "local"])
def test_training_beats_the_mean_image(images, contrast):
    model, _ = train(images, contrast, lr=0.01, steps=80, patience=5)
    known, val = (autoencoder.original(model, images[split]) for split in ("train", "val"))
    error = ((autoencoder.reconstruct(model, images["val"]) - val) ** 2).mean()
    mean = reconstruction.baselines(known, 4)(val)["mean_image"]
    assert error < 0.8 * ((mean - val) ** 2).mean()


def test_what_is_reconstructed_is_what_the_encoder_sees(images):
    assert autoencoder.original(build(), images["val"]) == pytest.approx(images["val"] / 255)
    local = autoencoder.original(build(contrast="local"), images["val"])
    assert 0 < local.min() < 0.3 and 0.7 < local.max() < 1, "hardly anything is cut off"


def test_the_weights_with_the_lowest_validation_error_are_kept(images, monkeypatch):
    monkeypatch.setattr(training, "EPOCH", 10)
    model, rows = train(images, lr=0.05, steps=120, patience=1)
    *_, best, last = rows
    assert best["val_mse"] < last["val_mse"] and not last["improved"] and len(rows) < 12
    error = autoencoder.mean_squared_error(model, images["val"])
    assert error == pytest.approx(best["val_mse"], rel=1e-6)


def test_fidelity_by_hand():
    images = np.full((2, 28, 28), 0.5, np.float32)
    images[1, 5:9] = 0.9
    scores = reconstruction.fidelity(images, images[None] + np.float32(0.1))
    assert scores["mse"] == pytest.approx(0.01, rel=1e-4)
    assert scores["psnr"] == pytest.approx(20, rel=1e-4)
    assert (scores["ssim"] < 1).all()
    assert reconstruction.fidelity(images, images[None])["ssim"] == pytest.approx(1)


def test_an_autoencoder_is_loaded_for_images_of_its_own_side_only(tmp_path):
    checkpoint.save(tmp_path, build(code=5), {"architecture": ENCODER})
    loaded = autoencoder.load(tmp_path, 28)
    assert loaded.code == 5 and not loaded.training
    with pytest.raises(UserError, match="another network than expected"):
        autoencoder.load(tmp_path, 64)
