"""Films of 28, 64, 128 and 224 pixels: the same network, and the same memory however many."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from stages.binarize import binarize
from stages.download import download
from stages.evaluate import evaluate
from stages.gradcam import gradcam
from stages.latent import latent
from stages.lib import archive, autoencoder, data, explanation, model, parameters, training
from stages.lib.augmentation import augment, sharpen
from stages.pretrain import pretrain, some
from stages.scratch import scratch
from stages.train import train

ROOT = Path(__file__).parents[1]
SIZES = [28, 64, 128, 224]


@pytest.fixture(scope="module")
def graph(tmp_path_factory, shrunken) -> Path:
    """The graph of one run on 60 films of 64 pixels, by the stages' own functions."""
    folder = tmp_path_factory.mktemp("size_64")
    (folder / "params.yaml").write_text(yaml.safe_dump(shrunken | {"pixels": 64}))
    params, run, dataset = parameters.load(folder / "params.yaml"), "pneumonia", "pneumoniamnist"
    films = bring(folder, params, dataset)
    weights, drawn = folder / "model.safetensors", folder / "drawn.json"
    scratch(folder / "scratch.safetensors")
    places = (folder / "scratch.safetensors", weights, drawn, folder / "history.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "EPOCH", 1)  # each of the 60 films once per epoch will do
        train(run, params, films, *places, folder / "architecture.txt")
    evaluate(
        run, params, films, weights, drawn, folder / "history.csv", folder / "scores.json", folder
    )
    gradcam(run, params, films, weights, folder / "gradcam.json", folder / "gradcam.png")
    space = [folder / name for name in ("latent.json", "latent.csv", "latent.png")]
    latent(run, params, films, weights, drawn, *space)
    places = ("encoder.safetensors", "pretrain.csv", "pretrain.json", "reconstructions.png")
    pretrain(params, films, *(folder / name for name in places))
    return folder


def bring(folder: Path, params: parameters.Params, dataset: str) -> Path:
    download(dataset, params, folder / "films.npz")
    films = folder / "films"
    binarize(
        dataset,
        params,
        folder / "films.npz",
        films,
        folder / "classes.json",
        folder / "classes.png",
    )
    return films


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_the_graph_runs_on_larger_films(graph):
    for name, n in (("train", 60), ("val", 40), ("test", 40)):
        split = data.read(graph / "films", name)
        assert split.images.shape == split.masks.shape == (n, 64, 64)
    scores = read(graph / "scores.json")
    assert 0 <= scores["auroc"] <= 1
    assert scores["data"] == "PneumoniaMNIST (64 pixels) PHANTOM"
    assert read(graph / "latent.json")["n"] == 40


def test_larger_films_need_no_more_weights(graph):
    assert read(graph / "scores.json")["parameters"] == 18_218
    assert "18,218" in (graph / "architecture.txt").read_text()


def test_explanations_of_larger_films_lie_on_their_masks(graph):
    """Maps and masks of the same side; a mask's share of the film does not depend on it."""
    report, test = read(graph / "gradcam.json"), data.read(graph / "films", "test")
    assert report["n"] == 40 and report["n_masks"] == test.masks.any(axis=(1, 2)).sum() == 25
    assert report["chance"] == pytest.approx(test.masks[test.labels == 1].mean(), abs=1e-6)
    assert 0 <= report["mass_inside"] <= 1
    with Image.open(graph / "gradcam.png") as figure:
        assert figure.width > 1200


def test_the_autoencoder_rebuilds_larger_films(graph):
    rebuilder = autoencoder.load(graph / "encoder.safetensors", 64)
    films = torch.from_numpy(data.read(graph / "films", "test").images)
    assert autoencoder.reconstruct(rebuilder, films).shape == (40, 64, 64)
    report = read(graph / "pretrain.json")["test"]
    assert set(report["psnr"]) == {"autoencoder", "mean_film", "pca"}
    assert read(graph / "pretrain.json")["test"]["psnr"]["pca"] > report["psnr"]["mean_film"]


def test_films_of_224_pixels_are_trained_on(tmp_path, shrunken, settings):
    few = {"seed": 0, "train": 10, "val": 10, "test": 10}
    declared = shrunken["datasets"]["chestmnist"] | {"phantom": few}
    values = shrunken | {"pixels": 224}
    values["datasets"] = shrunken["datasets"] | {"chestmnist": declared}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    params = parameters.load(tmp_path / "params.yaml")
    films = bring(tmp_path, params, "chestmnist")
    splits = [data.read(films, name) for name in ("train", "val")]
    assert splits[0].images.shape == (10, 224, 224)
    network = model.Classifier()
    images = torch.from_numpy(splits[0].images)
    assert model.n_parameters(network) == 18_218
    assert model.embeddings(network.eval(), splits[0].images, torch.device("cpu")).shape == (10, 32)
    maps = explanation.grad_cams(network, "last", images, target=1)
    assert maps.shape == (10, 224, 224)
    logits = network(model.standardise(images[:4]))
    logits[:, 0].sum().backward()
    assert all(weight.grad.isfinite().all() for weight in network.parameters())


# ------------------------------------------------------------------------- parts, and the whole


@pytest.mark.parametrize("side", SIZES)
def test_a_batch_has_the_same_pixels_at_every_side(side):
    images = torch.zeros(1, side, side)
    films = model.batch_size(images, 512)
    assert (films + 1) * side**2 > 512 * 28**2 >= films * side**2
    assert model.batch_size(torch.zeros(1, 5000, 5000), 512) == 1


def test_augmentation_moves_films_alike_at_every_side():
    """Two discs, and where they come to lie in units of the side, for the same random numbers."""

    def centre(side: int) -> torch.Tensor:
        axis = (torch.arange(side) + 0.5) * 2 / side - 1
        disc = ((axis[:, None] - 0.3) ** 2 + (axis + 0.2) ** 2 < 0.3).float()
        films = (disc * 2 - 1).expand(16, 1, side, side)
        moved = augment(films, ["move", "expose"], torch.Generator().manual_seed(0))
        moved = moved - moved.amin((2, 3), keepdim=True)
        return torch.stack(
            [(moved * a).sum((1, 2, 3)) / moved.sum((1, 2, 3)) for a in (axis, axis[:, None])]
        )

    assert torch.allclose(centre(28), centre(224), atol=0.02)


def at_both_sides(function) -> torch.Tensor:
    """What a function makes of one smooth film at 28 and at 112 pixels, and there shrunk again."""

    def film(side: int) -> torch.Tensor:
        place = (torch.arange(side) + 0.5) / side
        return (torch.sin(9 * place)[:, None] * torch.cos(7 * place)).expand(4, 1, side, side)

    large = torch.nn.functional.avg_pool2d(function(film(112)), 4)
    return torch.stack([function(film(28)), large]).flatten(1)


def test_local_contrast_and_sharpness_are_the_films_not_the_pixels():
    """A window or a blur of so many pixels would see another part of the chest at every side."""
    for function in (model.local_contrast, lambda f: sharpen(f, torch.Generator().manual_seed(0))):
        small, large = at_both_sides(function)
        assert torch.corrcoef(torch.stack([small, large]))[0, 1] > 0.99
        assert (small - large).abs().mean() < 0.1 * small.abs().mean()


def test_scores_do_not_depend_on_the_blocks(splits, monkeypatch, shrunken, tmp_path):
    """The last block holds healthy films only, or one film."""
    about = data.About("PneumoniaMNIST", "phantom", ("healthy", "pneumonia"))
    test = splits["test"]
    order = np.argsort(-test.labels.astype(int), kind="stable")
    order = np.concatenate([order[:30], order[-31:]])
    few = {name: splits[name][np.arange(60)] for name in ("train", "val")}
    data.write(tmp_path / "films", about, few | {"test": test[order]})
    torch.manual_seed(0)
    model.save(tmp_path / "weights", model.Classifier(), {"architecture": {}})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(shrunken))
    params, reports = parameters.load(tmp_path / "params.yaml"), []
    for pixels in (data.BLOCK_PIXELS, 10 * 28**2):
        monkeypatch.setattr(data, "BLOCK_PIXELS", pixels)
        gradcam(
            "pneumonia",
            params,
            tmp_path / "films",
            tmp_path / "weights",
            tmp_path / "gradcam.json",
            tmp_path / "gradcam.png",
        )
        places = ("encoder", "pretrain.csv", "pretrain.json", "reconstructions.png")
        pretrain(params, tmp_path / "films", *(tmp_path / name for name in places))
        reports.append(
            [numbers(read(tmp_path / f"{name}.json")) for name in ("gradcam", "pretrain")]
        )
    for whole, in_blocks in zip(*reports):
        assert in_blocks == pytest.approx(whole, abs=2e-4, nan_ok=True)


def numbers(report) -> list[float]:
    if isinstance(report, dict | list):
        return [
            n for v in (report.values() if isinstance(report, dict) else report) for n in numbers(v)
        ]
    return [] if isinstance(report, str | None) else [float(report)]


def test_yardsticks_are_fitted_on_as_many_films_as_fit(monkeypatch):
    monkeypatch.setattr("stages.pretrain.YARDSTICK_PIXELS", 5 * 64**2)
    films = torch.arange(8, dtype=torch.uint8)[:, None, None].expand(8, 64, 64)
    chosen = some(films, seed=0)[:, 0, 0].tolist()
    assert len(set(chosen)) == 5 and chosen == sorted(chosen)
    assert some(films[:5], seed=0) is not None and len(some(films[:5], seed=0)) == 5


MEMORY = """
import sys, threading, time
from pathlib import Path
import numpy as np
import torch
from stages.lib import archive, data
from stages.binarize import binary_split
from stages.lib.training import Films

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
about = data.About("Films", "films", ("healthy", "diseased"))
data.write(folder, about, {"train": binary_split(path, "train", False)})
split = data.read(folder, "train")
films = Films.to(torch.device("cpu"), split[np.arange(len(split))])
total = sum(int(films.images[i].sum()) for i in torch.arange(len(split)).split(50))
print(total, max(seen) - seen[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account")
def test_films_pass_from_archive_to_training_without_being_held_in_memory(tmp_path):
    """Of 180 MB of films; torch's own memory comes and goes by some 50 MB."""
    n = 3600
    images = np.broadcast_to(np.uint8(1), (n, 224, 224))
    arrays = {}
    for split, count in (("train", n), ("val", 1), ("test", 1)):
        labels = np.arange(count, dtype=np.uint8)[:, None] % 2
        arrays |= {f"{split}_images": images[:count], f"{split}_labels": labels}
    archive.write(tmp_path / "films.npz", arrays)
    command = [sys.executable, "-c", MEMORY, tmp_path / "films.npz", tmp_path / "films"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert re.fullmatch(r"\d+ -?\d+\n", ended.stdout), ended.stderr
    seen, kilobytes = map(int, ended.stdout.split())
    assert seen == n * 224**2
    assert kilobytes < 90_000
