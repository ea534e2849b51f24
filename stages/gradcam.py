"""Stage: explain a run with GradCAM and LayerCAM, and test the maps of all its trainings: by
insertion and, on phantoms, against the true findings."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors.numpy import save
from torch import Tensor

from chestflow import files, history, stage
from chestflow.config.schema import GradCAM
from chestflow.data import arrays, captions
from chestflow.explain import insertion, localisation
from chestflow.explain.gradcam import grad_cams, layer_cams
from chestflow.explain.map_baselines import best_pixel, centred, reinitialised
from chestflow.models import checkpoint, device, inference
from chestflow.models.cnn import Classifier

# Images at most; more would narrow the intervals little, since trainings differ more than images.
LOCATED = 300  # with a true finding
INSERTED = 60  # that the run calls diseased
AVERAGED = 100  # training images, for the mean map
RANDOM_NETWORKS = 10
RANDOM_LOCATED = 100

Method = Callable[[Classifier, Tensor, int], np.ndarray]  # network, images, target -> maps
Networks = list[Classifier]


def gradcam(
    run: str,
    about: Path,
    images: Path,
    trained: Path,
    metrics: Path,
    out: Path,
    *,
    seed: int,
    threads: int,
    gradcam: GradCAM,
) -> None:
    here, data = device.prepare(threads), captions.of_report(files.read_json(about))
    losses = history.kept(files.read_csv(trained / "history.csv"), "val_loss")
    folders = [checkpoint.training(trained, k) for k in range(len(losses))]
    networks = [checkpoint.load_classifier(folder).to(here) for folder in folders]
    test, train = (arrays.read(images, split) for split in ("test", "train"))
    seen = [train[checkpoint.labelled(folder)["train"]] for folder in folders]
    methods = methods_at(gradcam.layer)
    each = [inference.probabilities(one, on(test.images, here)) for one in networks]
    probability = np.mean(each, axis=0)
    index = localisation.examples(test.labels, probability, gradcam.images, seed)
    write_examples(out, networks, methods, test[index], probability[index], here)
    report: dict = {"trainings": len(networks)}
    headline = {}
    called = draw(probability >= 0.5, INSERTED, seed)
    if len(called) > 1:
        report["insertion"] = inserted(networks, methods, test.images[called], seen, seed, here)
        entries = report["insertion"]["difference"].items()
        headline = {"insertion_difference": {name: e["difference"] for name, e in entries}}
    if test.masks is not None and train.masks is not None:
        some = draw(test.masks.any(axis=(1, 2)), LOCATED, seed)
        truth = test.images[some], test.masks[some], best_pixel(train.masks)
        report["hits"] = located(networks, methods, *truth, seed, here)
        entries = report["hits"]["methods"].items()
        headline = {"pointing_hits": {name: entry["value"] for name, entry in entries}}
    files.write_json(out / "scores.json", data.record() | report)
    files.write_json(metrics, {"data": data.record()["data"]} | headline)
    print(f"gradcam: {run}: {len(networks)} trainings, {data.caption}")


def methods_at(layer: str) -> dict[str, Method]:
    """GradCAM at a layer by its name, and LayerCAM."""
    return {
        "gradcam": lambda network, images, target: grad_cams(network, layer, images, target),
        "layercam": layer_cams,
    }


def on(images: np.ndarray, here: torch.device) -> Tensor:
    return torch.from_numpy(images).to(here)


def draw(wanted: ArrayLike, n: int, seed: int) -> np.ndarray:
    """At most n of the indices where `wanted`, (N,) bool, holds, drawn by seed, in their order."""
    return np.sort(np.random.default_rng(seed).permutation(np.flatnonzero(wanted))[:n])


def located(
    networks: Networks,
    methods: dict[str, Method],
    images: np.ndarray,
    masks: np.ndarray,
    pixel: np.ndarray,
    seed: int,
    here: torch.device,
) -> dict:
    """The pointing game on images with a true finding, by all trainings, networks with random
    weights, and one pixel for all images."""
    fixed = localisation.pointing_hits(pixel, masks)
    # not the seed itself: a training may have had it
    seeds = np.random.default_rng(seed).integers(2**31, size=RANDOM_NETWORKS).tolist()
    random = [reinitialised(networks[0], one) for one in seeds]
    report = {}
    for name, method in methods.items():
        hits, of_mean = hits_of(networks, method, images, masks, here)
        few = images[:RANDOM_LOCATED], masks[:RANDOM_LOCATED]
        by_chance = hits_of(random, method, *few, here)[0].mean(axis=1)
        report[name] = localisation.report(hits, of_mean, fixed, by_chance)
    return {"n": len(images), "fixed_pixel": float(fixed.mean()), "methods": report}


def hits_of(
    networks: Networks, method: Method, images: np.ndarray, masks: np.ndarray, here: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Hits of each network's maps, (K, N), and of the mean of their maps, (N,)."""
    hits, total = [], np.zeros(images.shape)
    for network in networks:
        maps = method(network, on(images, here), 1)
        hits.append(localisation.pointing_hits(maps, masks))
        total += maps
    return np.stack(hits), localisation.pointing_hits(total, masks)


def inserted(
    networks: Networks,
    methods: dict[str, Method],
    images: np.ndarray,
    seen: list[arrays.Split],
    seed: int,
    here: torch.device,
) -> dict:
    """Insertion by each image's own maps, and by maps that are the same for all images: one in the
    middle, and each method's mean over diseased training images. seen: by training, the images
    whose labels it has seen."""
    own, fixed = [], []
    for network, train in zip(networks, seen):
        diseased = train.images[draw(train.labels == 1, AVERAGED, seed)]
        maps = [method(network, on(images, here), 1) for method in methods.values()]
        means = [method(network, on(diseased, here), 1).mean(axis=0) for method in methods.values()]
        maps += [np.broadcast_to(one, images.shape) for one in (centred(images.shape[-1]), *means)]
        healthy = insertion.healthy_mean(train.images, train.labels)
        areas = insertion.areas(network, on(images, here), np.stack(maps), 1, healthy)
        own.append(areas[: len(methods)])
        fixed.append(areas[len(methods) :])
    by_method = dict(zip(methods, np.stack(own, axis=1)))
    by_map = dict(zip(["centred", *(f"mean_{name}" for name in methods)], np.stack(fixed, axis=1)))
    return insertion.report(by_method, by_map)


def write_examples(
    out: Path,
    networks: Networks,
    methods: dict[str, Method],
    split: arrays.Split,
    probability: np.ndarray,
    here: torch.device,
) -> None:
    """What the figure is drawn from: some images, and the mean over all trainings of their maps:
    GradCAM of healthy and of diseased, LayerCAM of diseased."""
    rows = [("gradcam", 0), ("gradcam", 1), ("layercam", 1)]
    images = on(split.images, here)
    maps = [
        np.mean([methods[name](network, images, target) for network in networks], axis=0)
        for name, target in rows
    ]
    kept = {"images": split.images, "labels": split.labels, "probability": probability}
    kept |= {"maps": np.stack(maps)} | ({} if split.masks is None else {"masks": split.masks})
    out.mkdir(parents=True, exist_ok=True)
    # not safetensors' save_file: on a full disk, it does not raise OSError
    contents = save({name: np.ascontiguousarray(values) for name, values in kept.items()})
    (out / "examples.safetensors").write_bytes(contents)


if __name__ == "__main__":
    stage.run(gradcam)
