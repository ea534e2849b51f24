"""Stage: explain a run's representative training with GradCAM, and test the maps: against networks
with random weights, by deletion and insertion, and on phantoms against the true findings."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from chestflow import files, history, stage
from chestflow.config.schema import GradCAM
from chestflow.data import arrays, captions
from chestflow.explain import localisation, perturbation
from chestflow.explain.gradcam import grad_cams, reinitialised
from chestflow.metrics import intervals
from chestflow.models import checkpoint, cnn, device, inference

# The baseline of GradCAM. Many networks, because they differ widely; few images, because more would
# hardly narrow the range, but would take longer than everything else in this stage.
RANDOM_NETWORKS = 20
RANDOM_IMAGES = 200
# Deletion and insertion: random maps per image; pixels of all images together (200 of 28 x 28).
RANDOM_MAPS = 5
PERTURBED_PIXELS = 200 * 28 * 28


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
    k = history.representative(losses)
    folder = checkpoint.training(trained, k)
    model = checkpoint.load_classifier(folder).to(here)
    test = arrays.read(images, "test")
    train = arrays.read(images, "train")[checkpoint.labelled(folder)["train"]]
    on_device = torch.from_numpy(test.images).to(here)
    probability = inference.probabilities(model, on_device)
    write_examples(model, test, probability, gradcam, seed, out, here)
    random = localisation.beside_random(beside_random(model, test, gradcam.layer, seed, here))
    own = localisation.score(maps_by_block(model, test, gradcam.layer, here))
    report = localisation.report(own, random) | {"n_random": min(RANDOM_IMAGES, len(test))}
    report["perturbation"] = perturb(model, test, train, probability, gradcam.layer, seed, here)
    files.write_json(metrics, data.record() | {"training": k} | report)
    print(f"gradcam: {run}: training {k + 1} of {len(losses)}, {data.caption}")


Blocks = Iterator[tuple[np.ndarray, np.ndarray | None]]  # maps and, of phantoms, true masks


def maps_by_block(model: cnn.Classifier, test: arrays.Split, layer: str, here) -> Blocks:
    """The maps of all test images in blocks, because they may not fit into memory."""
    for block in arrays.blocks(test.images):
        images = torch.from_numpy(test.images[block]).to(here)
        masks = None if test.masks is None else test.masks[block]
        yield grad_cams(model, layer, images, target=1), masks


def beside_random(model: cnn.Classifier, test: arrays.Split, layer: str, seed: int, here) -> Blocks:
    """Blocks of some test images' maps, by the trained network and by RANDOM_NETWORKS others."""
    rng = np.random.default_rng(seed)  # not the seed itself: a training may have had it
    some = test[np.sort(rng.permutation(len(test))[:RANDOM_IMAGES])]
    images = torch.from_numpy(some.images).to(here)
    seeds = rng.integers(2**31, size=RANDOM_NETWORKS).tolist()
    networks = model, *(reinitialised(model, seed) for seed in seeds)
    step = inference.batch_size(images, per_batch=RANDOM_IMAGES)
    for block in (slice(start, start + step) for start in range(0, len(some), step)):
        maps = [grad_cams(network, layer, images[block], target=1) for network in networks]
        yield np.stack(maps), None if some.masks is None else some.masks[block]


def perturb(
    model: cnn.Classifier,
    test: arrays.Split,
    train: arrays.Split,
    probability: np.ndarray,
    layer: str,
    seed: int,
    here: torch.device,
) -> dict:
    """Deletion and insertion on some images that the network calls diseased, compared with random
    maps: mean differences, with intervals over these images."""
    chosen = np.random.default_rng(seed).permutation(np.flatnonzero(probability >= 0.5))
    chosen = np.sort(chosen[: max(2, PERTURBED_PIXELS // test.images[0].size)])
    report: dict = {"n": len(chosen), "draws": RANDOM_MAPS}
    if len(chosen) < 2:
        return report
    images = torch.from_numpy(test[chosen].images).to(here)
    maps = grad_cams(model, layer, images, target=1)
    replacement = perturbation.healthy_mean(train.images, train.labels)
    areas = perturbation.beside_random_maps(model, images, maps, 1, replacement, RANDOM_MAPS)
    for name, values in areas.items():
        estimate = intervals.estimate(intervals.mean(values[None]), bounds=(None, None))
        report[name] = [estimate["value"], *estimate["ci95"]]
    return report


def write_examples(
    model: cnn.Classifier,
    test: arrays.Split,
    probability: np.ndarray,
    chosen: GradCAM,
    seed: int,
    out: Path,
    here: torch.device,
) -> None:
    """What the figure is drawn from: some images, and their maps for either class."""
    index = localisation.examples(test.labels, probability, chosen.images, seed)
    split, images = test[index], torch.from_numpy(test.images[index]).to(here)
    maps = np.stack([grad_cams(model, chosen.layer, images, target) for target in (0, 1)])
    kept = {"images": split.images, "labels": split.labels, "probability": probability[index]}
    kept |= {"maps": maps} | ({} if split.masks is None else {"masks": split.masks})
    out.parent.mkdir(parents=True, exist_ok=True)
    # not safetensors' save_file: on a full disk, it does not raise OSError
    out.write_bytes(save({name: np.ascontiguousarray(v) for name, v in kept.items()}))


if __name__ == "__main__":
    stage.run(gradcam)
