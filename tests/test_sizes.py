"""Images of 28, 64, 128 and 224 pixels: the same network, and the same memory however many."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_run
import torch
import yaml
from PIL import Image

from chestflow.augmentation import augment, sharpen
from chestflow.core import tables
from chestflow.images import arrays
from chestflow.network import autoencoder, checkpoint, gradcam, inference, model
from chestflow.parameters import reading
from chestflow.sources import archive
from chestflow.training import batching
from stages.binarize import binarize
from stages.configure import configure
from stages.download import download
from stages.draw import draw
from stages.reconstruct import some
from stages.scratch import scratch

ROOT = Path(__file__).parents[1]
SIZES = [28, 64, 128, 224]
RUN, DATASET = "pneumonia", small_run.DATASET
SMALL = {"seed": 0, "train": 60, "val": 40, "test": 40}


@pytest.fixture(scope="module")
def graph(tmp_path_factory, shrunken) -> Path:
    """The graph of one run on 60 images of 64 pixels, by the stages' own functions."""
    folder = tmp_path_factory.mktemp("size_64")
    bring(folder, DATASET, 64, SMALL)
    settle(folder, shrunken | {"pixels": 64})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "EPOCH", 1)  # each of the 60 images once per epoch will do
        small_run.train_run(folder)
    small_run.evaluate_run(folder)
    small_run.pretrain_autoencoder(folder)
    small_run.reconstruct_images(folder)
    draw(
        RUN,
        folder / "metrics/runs/pneumonia.json",
        folder / "metrics/latent/pneumonia.json",
        folder / "models/pneumonia",
        folder / "data/results/pneumonia",
        folder / "plots/runs/pneumonia",
        gradcam=reading.params(folder / "params.yaml").gradcam,
    )
    return folder


def bring(folder: Path, dataset: str, pixels: int, phantom: dict) -> Path:
    """Stages `download` and `binarize`, for a phantom of so many images."""
    declared = yaml.safe_load((ROOT / "datasets.yaml").read_text())
    declared["datasets"][dataset]["phantom"] = phantom
    (folder / "datasets.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    raw, images = folder / "images.npz", folder / "data/binary" / dataset
    download(dataset, folder / "datasets.yaml", raw, source="phantom", pixels=pixels)
    binarize(dataset, folder / "datasets.yaml", raw, images, folder / "metrics/data.json")
    return images


def settle(folder: Path, params: dict) -> None:
    """Stages `configure` and `scratch`, for these parameters."""
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    places = (folder / name for name in ("params.yaml", "datasets.yaml", "data/settings"))
    configure(RUN, *places)
    scratch(folder / "models/scratch")


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_the_graph_runs_on_larger_images(graph):
    for name, n in (("train", 60), ("val", 40), ("test", 40)):
        split = arrays.read(graph / "data/binary" / DATASET, name)
        assert split.images.shape == split.masks.shape == (n, 64, 64)
    scores = read(graph / "metrics/runs/pneumonia.json")
    assert 0 <= scores["auroc"] <= 1
    assert scores["data"] == "PneumoniaMNIST (64 pixels) PHANTOM"
    assert read(graph / "metrics/latent/pneumonia.json")["n"] == 40
    about = checkpoint.read(graph / "models/pneumonia")[1]
    assert (about["side"], about["origin"]) == (64, "phantom")


def test_larger_images_need_no_more_parameters(graph):
    assert read(graph / "metrics/runs/pneumonia.json")["parameters"] == 18_218
    assert "18,218" in (graph / "models/pneumonia/architecture.txt").read_text()


def test_explanations_of_larger_images_match_their_masks(graph):
    """Maps and masks have the same side; a mask's share of the image does not depend on it."""
    report = read(graph / "metrics/gradcam/pneumonia.json")
    test = arrays.read(graph / "data/binary" / DATASET, "test")
    assert report["n"] == 40 and report["n_masks"] == test.masks.any(axis=(1, 2)).sum() == 25
    assert report["chance"] == pytest.approx(test.masks[test.labels == 1].mean(), abs=1e-6)
    assert 0 <= report["mass_inside"] <= 1
    with Image.open(graph / "plots/runs/pneumonia/gradcam.png") as figure:
        assert figure.width > 1200


def test_the_autoencoder_rebuilds_larger_images(graph):
    rebuilder = autoencoder.load(graph / "models/autoencoder", 64)
    images = torch.from_numpy(arrays.read(graph / "data/binary" / DATASET, "test").images)
    assert autoencoder.reconstruct(rebuilder, images).shape == (40, 64, 64)
    report = read(graph / "metrics/autoencoder.json")["test"]
    assert set(report["psnr"]) == {"autoencoder", "mean_image", "pca"}
    assert report["psnr"]["pca"] > report["psnr"]["mean_image"]


def test_images_of_224_pixels_are_trained_on(tmp_path):
    few = {"seed": 0, "train": 10, "val": 10, "test": 10}
    inputs = bring(tmp_path, "chestmnist", 224, few)
    splits = [arrays.read(inputs, name) for name in ("train", "val")]
    assert splits[0].images.shape == (10, 224, 224)
    network = model.Classifier()
    images = torch.from_numpy(splits[0].images)
    assert model.n_parameters(network) == 18_218
    vectors = inference.embeddings(network.eval(), splits[0].images, torch.device("cpu"))
    assert vectors.shape == (10, 32)
    maps = gradcam.grad_cams(network, "last", images, target=1)
    assert maps.shape == (10, 224, 224)
    logits = network(inference.standardise(images[:4]))
    logits[:, 0].sum().backward()
    assert all(weight.grad.isfinite().all() for weight in network.parameters())


# ------------------------------------------------------------------------- parts and the whole


@pytest.mark.parametrize("side", SIZES)
def test_a_batch_has_the_same_number_of_pixels_at_every_side(side):
    images = torch.zeros(1, side, side)
    inputs = inference.batch_size(images, 512)
    assert (inputs + 1) * side**2 > 512 * 28**2 >= inputs * side**2
    assert inference.batch_size(torch.zeros(1, 5000, 5000), 512) == 1


def test_augmentation_moves_images_equally_at_every_side():
    """Two discs, and where they come to lie in units of the side, for the same random numbers."""

    def centre(side: int) -> torch.Tensor:
        axis = (torch.arange(side) + 0.5) * 2 / side - 1
        disc = ((axis[:, None] - 0.3) ** 2 + (axis + 0.2) ** 2 < 0.3).float()
        images = (disc * 2 - 1).expand(16, 1, side, side)
        moved = augment(images, ["move", "expose"], torch.Generator().manual_seed(0))
        moved = moved - moved.amin((2, 3), keepdim=True)
        return torch.stack(
            [(moved * a).sum((1, 2, 3)) / moved.sum((1, 2, 3)) for a in (axis, axis[:, None])]
        )

    assert torch.allclose(centre(28), centre(224), atol=0.02)


def at_both_sides(function) -> torch.Tensor:
    """A function's result on one smooth image at 28 pixels, and at 112 pixels, shrunk again."""

    def image(side: int) -> torch.Tensor:
        place = (torch.arange(side) + 0.5) / side
        return (torch.sin(9 * place)[:, None] * torch.cos(7 * place)).expand(4, 1, side, side)

    large = torch.nn.functional.avg_pool2d(function(image(112)), 4)
    return torch.stack([function(image(28)), large]).flatten(1)


def test_local_contrast_and_sharpness_scale_with_the_image():
    """With a fixed number of pixels, a window or a blur would cover less of a larger chest."""
    for function in (model.local_contrast, lambda f: sharpen(f, torch.Generator().manual_seed(0))):
        small, large = at_both_sides(function)
        assert torch.corrcoef(torch.stack([small, large]))[0, 1] > 0.99
        assert (small - large).abs().mean() < 0.1 * small.abs().mean()


def test_scores_do_not_depend_on_the_blocks(splits, monkeypatch, shrunken, tmp_path):
    """The last block holds healthy images only, or one image."""
    test = splits["test"]
    order = np.argsort(-test.labels.astype(int), kind="stable")
    order = np.concatenate([order[:30], order[-31:]])
    few = {name: splits[name][np.arange(60)] for name in ("train", "val")}
    arrays.write(tmp_path / "data/binary" / DATASET, "phantom", few | {"test": test[order]})
    (tmp_path / "datasets.yaml").write_text((ROOT / "datasets.yaml").read_text())
    settle(tmp_path, shrunken)
    small_run.train_run(tmp_path)
    reports = []
    for pixels in (arrays.BLOCK_PIXELS, 10 * 28**2):
        monkeypatch.setattr(arrays, "BLOCK_PIXELS", pixels)
        small_run.evaluate_run(tmp_path)
        small_run.pretrain_autoencoder(tmp_path)
        small_run.reconstruct_images(tmp_path)
        kinds = ("runs/pneumonia", "gradcam/pneumonia", "latent/pneumonia", "autoencoder")
        found = [numbers(read(tmp_path / f"metrics/{kind}.json")) for kind in kinds]
        epochs = tables.read_csv(tmp_path / "models/autoencoder/history.csv")
        reports.append([*found, epochs["val_mse"]])
        assert all(map(len, reports[-1]))
    for whole, in_blocks in zip(*reports):
        assert in_blocks == pytest.approx(whole, abs=2e-4, nan_ok=True)


def numbers(report) -> list[float]:
    if isinstance(report, dict | list):
        return [
            n for v in (report.values() if isinstance(report, dict) else report) for n in numbers(v)
        ]
    return [] if isinstance(report, str | None) else [float(report)]


def test_baselines_are_fitted_on_as_many_images_as_fit_into_memory(monkeypatch):
    monkeypatch.setattr("stages.reconstruct.BASELINE_PIXELS", 5 * 64**2)
    images = torch.arange(8, dtype=torch.uint8)[:, None, None].expand(8, 64, 64)
    chosen = some(images, seed=0)[:, 0, 0].tolist()
    assert len(set(chosen)) == 5 and chosen == sorted(chosen)
    assert some(images[:5], seed=0) is not None and len(some(images[:5], seed=0)) == 5


MEMORY = """
import sys, threading, time
from pathlib import Path
import numpy as np
import torch
from chestflow.images import arrays
from chestflow.parameters import reading
from chestflow.sources import archive
from chestflow.training.batching import Samples
from stages.binarize import binary_split

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

def watch():
    while True:
        seen.append(anonymous())
        time.sleep(0.005)

seen = [anonymous()]
threading.Thread(target=watch, daemon=True).start()
path, folder = Path(sys.argv[1]), Path(sys.argv[2])
archive.check(path, 1, 224)
arrays.write(folder, "images", {"train": binary_split(path, "train", None, False)})
split = arrays.read(folder, "train")
samples = Samples.to(torch.device("cpu"), split[np.arange(len(split))])
total = sum(int(samples.images[i].sum()) for i in torch.arange(len(split)).split(50))
print(total, max(seen) - seen[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account")
def test_images_go_from_archive_to_training_without_being_held_in_memory(tmp_path):
    """Of 270 MB of images; torch's own memory comes and goes by some 50 MB."""
    n = 5400
    images = np.broadcast_to(np.uint8(1), (n, 224, 224))
    held = {}
    for split, count in (("train", n), ("val", 1), ("test", 1)):
        labels = np.arange(count, dtype=np.uint8)[:, None] % 2
        held |= {f"{split}_images": images[:count], f"{split}_labels": labels}
    archive.write(tmp_path / "images.npz", held)
    command = [sys.executable, "-c", MEMORY, tmp_path / "images.npz", tmp_path / "images"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert re.fullmatch(r"\d+ -?\d+\n", ended.stdout), ended.stderr
    seen, kilobytes = map(int, ended.stdout.split())
    assert seen == n * 224**2
    assert kilobytes < 150_000
