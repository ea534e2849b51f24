"""Stage: explain a run with GradCAM and LayerCAM, and test the maps of all its trainings: by
insertion and, on phantoms, against the true findings."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor

from chestflow import files, stage
from chestflow.config.schema import GradCAM
from chestflow.data import arrays, captions
from chestflow.data.arrays import Split
from chestflow.explain import insertion, localisation
from chestflow.explain.gradcam import grad_cams, layer_cams
from chestflow.models import checkpoint, device, inference
from chestflow.models.cnn import Classifier

# Images at most; more would narrow the intervals little, since trainings differ more than images.
LOCATED = 300  # with a true finding
INSERTED = 60  # that the run calls diseased
AVERAGED = 100  # training images, for the mean map
RANDOM_NETWORKS = 10
RANDOM_LOCATED = 100

FIGURE = [("gradcam", 0), ("gradcam", 1), ("layercam", 1)]  # maps, and of which class

Networks = list[Classifier]
Methods = dict[str, Callable[..., np.ndarray]]


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
    folders = checkpoint.trainings(trained)
    networks = [checkpoint.load_classifier(folder).to(here) for folder in folders]
    test, train = (arrays.read(images, split) for split in ("test", "train"))
    inputs = torch.from_numpy(test.images).to(here)
    probability = np.stack([inference.probabilities(one, inputs) for one in networks]).mean(axis=0)
    methods: Methods = {"gradcam": partial(grad_cams, layer=gradcam.layer), "layercam": layer_cams}
    index = localisation.examples(test.labels, probability, gradcam.images, seed)
    maps = [maps_of(networks, methods[name], inputs[index], target) for name, target in FIGURE]
    means = np.mean(maps, axis=1)
    write_examples(out / "examples.safetensors", test[index], probability[index], means)
    report, headline = {}, {}
    called = sample(np.flatnonzero(probability >= 0.5), INSERTED, seed)
    if len(called) > 1:
        seen = [train[checkpoint.labelled(folder)["train"]] for folder in folders]
        report["insertion"] = inserted(networks, methods, inputs[called], seen, seed)
        entries = report["insertion"]["difference"].items()
        headline = {"insertion_difference": {name: e["difference"] for name, e in entries}}
    if test.masks is not None and train.masks is not None:
        some = sample(np.flatnonzero(test.masks.any(axis=(1, 2))), LOCATED, seed)
        pixel = localisation.best_pixel(train.masks)
        report["hits"] = located(networks, methods, inputs[some], test.masks[some], pixel, seed)
        entries = report["hits"]["methods"].items()
        headline = {"pointing_hits": {name: entry["value"] for name, entry in entries}}
    files.write_json(out / "scores.json", data.record() | report)
    files.write_json(metrics, {"data": data.caption} | headline)
    print(f"gradcam: {run}: {len(networks)} trainings, {data.caption}")


def maps_of(networks: Networks, method: Callable, images: Tensor, target: int = 1) -> np.ndarray:
    """(K, N, H, W): the maps of each network."""
    return np.stack([method(network, images=images, target=target) for network in networks])


def sample(index: np.ndarray, n: int, seed: int) -> np.ndarray:
    """At most n of the indices (N,), drawn by seed, in their order."""
    return np.sort(np.random.default_rng(seed).permutation(index)[:n])


def write_examples(path: Path, split: Split, probability: np.ndarray, maps: np.ndarray) -> None:
    """What the figure is drawn from. maps: (3, N, H, W), as in FIGURE, means over the trainings."""
    kept = {name: array for name, array in vars(split).items() if array is not None}
    kept |= {"probability": probability, "maps": maps}
    path.parent.mkdir(parents=True, exist_ok=True)
    # not safetensors' save_file: on a full disk, it does not raise OSError
    path.write_bytes(save({name: np.ascontiguousarray(each) for name, each in kept.items()}))


def inserted(
    networks: Networks, methods: Methods, images: Tensor, seen: list[Split], seed: int
) -> dict:
    """Insertion by each image's own maps, and by maps that are the same for all images: one in the
    middle, and each method's mean over diseased training images. seen: by training, the images
    whose labels it has seen."""
    own, fixed = defaultdict(list), defaultdict(list)
    for network, train in zip(networks, seen):
        healthy = insertion.healthy_mean(train.images, train.labels).to(images.device)
        areas = partial(insertion.areas, network, images, healthy=healthy)
        fixed["centred"].append(areas(insertion.centred(images.shape[-1])))
        some = train.images[sample(np.flatnonzero(train.labels), AVERAGED, seed)]
        diseased = torch.from_numpy(some).to(images.device)
        for name, method in methods.items():
            own[name].append(areas(method(network, images=images, target=1)))
            mean = method(network, images=diseased, target=1).mean(axis=0)
            fixed[f"mean_{name}"].append(areas(mean))
    stacked = ({name: np.stack(each) for name, each in kind.items()} for kind in (own, fixed))
    return insertion.report(*stacked)


def located(
    networks: Networks,
    methods: Methods,
    images: Tensor,
    masks: np.ndarray,
    pixel: np.ndarray,
    seed: int,
) -> dict:
    """The pointing game on images with a true finding, by all trainings, networks with random
    weights, and one pixel for all images."""
    hits_of = localisation.pointing_hits
    fixed = hits_of(pixel, masks)
    # not the seed itself: a training may have had it
    seeds = np.random.default_rng(seed).integers(2**31, size=RANDOM_NETWORKS).tolist()
    random = [localisation.reinitialised(networks[0], one) for one in seeds]
    report = {}
    for name, method in methods.items():
        maps = maps_of(networks, method, images)
        hits, of_mean = hits_of(maps, masks), hits_of(maps.mean(axis=0, dtype=float), masks)
        untrained = maps_of(random, method, images[:RANDOM_LOCATED])
        by_chance = hits_of(untrained, masks[:RANDOM_LOCATED]).mean(axis=1)
        report[name] = localisation.report(hits, of_mean, fixed, by_chance)
    return {"n": len(images), "fixed_pixel": fixed.mean(), "methods": report}


if __name__ == "__main__":
    stage.run(gradcam)
