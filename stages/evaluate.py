"""Stage: score a run on its test images, once, explain its decisions with GradCAM, and measure its
latent space. Writes numbers only: stage `draw` makes figures of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from chestflow.core import tables
from chestflow.core.history import kept_epoch
from chestflow.images import arrays, captions
from chestflow.measures import latent as space
from chestflow.measures import maps, resampling, scores
from chestflow.network import checkpoint, device, inference, model
from chestflow.network import gradcam as cam
from chestflow.parameters import reading, stage
from chestflow.parameters.schema import Evaluation, GradCAM, Latent

# The baseline of GradCAM. So many draws, because they differ by far; of so few images, because more
# would narrow their range by little and take longer than all else here.
RANDOM_NETWORKS = 20
RANDOM_IMAGES = 200


def evaluate(
    run: str,
    dataset: str,
    datasets: Path,
    images: Path,
    trained: Path,
    init: Path,
    metrics: Path,
    out: Path,
    *,
    seed: int,
    threads: int,
    evaluation: Evaluation,
    gradcam: GradCAM,
    latent: Latent,
) -> None:
    """metrics: a pattern that holds `{kind}`: what is measured."""
    declared, here = reading.dataset(datasets, dataset), device.prepare(threads)
    about = captions.of_folder(images, declared.title, declared.positive)
    network = checkpoint.load_classifier(trained).to(here)
    splits = labelled(images, trained / "drawn.json")
    subject = Run(network, splits, here, evaluation.bootstrap, seed)
    before = checkpoint.load_start(init)
    found = {
        "runs": score(subject, out) | training_record(trained / "history.csv", network),
        "gradcam": explain(subject, gradcam, out),
        "latent": embed(subject, before, about, latent, out),
    }
    for kind, values in found.items():
        tables.write_json(stage.at(metrics, kind=kind), about.record() | values)
    auroc, accuracy = (found["runs"][key] for key in ("auroc", "accuracy"))
    print(f"evaluate: {run}: AUROC {auroc:.3f}, accuracy {accuracy:.3f}, {about.caption}")


@dataclass(frozen=True)
class Run:
    """A trained run, and what it is measured on and with."""

    network: model.Classifier
    splits: dict[str, arrays.Split]  # train and val: the labelled images that training saw
    device: torch.device
    resamples: int
    seed: int

    def probabilities(self, split: str) -> np.ndarray:
        images = torch.from_numpy(self.splits[split].images).to(self.device)
        return inference.probabilities(self.network, images)

    def vectors(self, split: str) -> np.ndarray:
        return inference.embeddings(self.network, self.splits[split].images, self.device)


def labelled(images: Path, drawn: Path) -> dict[str, arrays.Split]:
    """All test images, and those of train and val whose labels the run has seen."""
    splits = {name: arrays.read(images, name) for name in arrays.SPLITS}
    index = {name: np.array(found) for name, found in tables.read_json(drawn).items()}
    return splits | {name: splits[name][found] for name, found in index.items()}


def training_record(history: Path, network: model.Classifier) -> dict[str, float]:
    """Validation scores of the weights that were kept, and, where it was timed, how many seconds
    the training took."""
    epochs = tables.read_csv(history)
    best = kept_epoch(epochs["improved"])
    found = {name: epochs[name][best] for name in ("val_auroc", "val_loss")}
    found |= {"train_seconds": epochs["seconds"][-1]} if "seconds" in epochs else {}
    return found | {"parameters": model.n_parameters(network)}


# ------------------------------------------------------------------------------------- scores


def score(run: Run, out: Path) -> dict:
    """All scores on test; threshold and calibration are chosen on validation."""
    labels, probability = run.splits["test"].labels, run.probabilities("test")
    val_labels, val_probability = run.splits["val"].labels, run.probabilities("val")
    threshold = scores.best_threshold(val_labels, val_probability)
    calibration, chosen = scores.choose_calibration(val_labels, val_probability)
    for name, rows in scores.curves(labels, probability).items():
        tables.write_csv(out / f"{name}.csv", rows)
    report = scores.report(labels, probability, threshold, calibration, run.resamples, run.seed)
    return report | {"scaling": chosen | report["scaling"]}


# ------------------------------------------------------------------------------------- GradCAM


def explain(run: Run, wanted: GradCAM, out: Path) -> dict:
    """Scores of the GradCAM maps of all test images; writes a few as examples."""
    test = run.splits["test"]
    images = torch.from_numpy(test.images).to(run.device)

    def maps_by_block() -> Iterator[tuple]:
        for block in arrays.blocks(images):
            maps_of = cam.grad_cams(run.network, wanted.layer, images[block], target=1)
            yield maps_of, None if test.masks is None else test.masks[block]

    probability = run.probabilities("test")
    shown = maps.examples(test.labels, probability, wanted.images, run.seed)
    found = [cam.grad_cams(run.network, wanted.layer, images[shown], target) for target in (0, 1)]
    write_examples(out, test[shown], probability[shown], np.stack(found))
    random = maps.beside_random(beside_random(run, wanted.layer))
    report = maps.report(maps.score(maps_by_block()), random, run.resamples, run.seed)
    return report | {"n_random": min(RANDOM_IMAGES, len(test))}


def beside_random(run: Run, layer: str) -> Iterator[tuple]:
    """Blocks of some test images' maps, by the trained network and by RANDOM_NETWORKS others."""
    rng = np.random.default_rng(run.seed)  # not run.seed itself: training may have begun there
    shown = np.sort(rng.permutation(len(run.splits["test"]))[:RANDOM_IMAGES])
    test = run.splits["test"][shown]
    images = torch.from_numpy(test.images).to(run.device)
    seeds = rng.integers(2**31, size=RANDOM_NETWORKS).tolist()
    networks = run.network, *(cam.reinitialised(run.network, seed) for seed in seeds)
    step = inference.batch_size(images, per_batch=RANDOM_IMAGES)
    for block in (slice(start, start + step) for start in range(0, len(test), step)):
        found = [cam.grad_cams(network, layer, images[block], target=1) for network in networks]
        yield np.stack(found), None if test.masks is None else test.masks[block]


def write_examples(out: Path, split: arrays.Split, probability: np.ndarray, found: np.ndarray):
    """What the figure of GradCAM is drawn from: images and maps (class, image, H, W)."""
    kept = {"images": split.images, "labels": split.labels, "probability": probability}
    kept |= {"maps": found} | ({} if split.masks is None else {"masks": split.masks})
    kept = {name: np.ascontiguousarray(values) for name, values in kept.items()}
    (out / "examples.safetensors").write_bytes(save(kept))  # a full disk is an OSError


# -------------------------------------------------------------------------------- latent space


def embed(
    run: Run, start: model.Classifier | None, about: captions.About, wanted: Latent, out: Path
) -> dict:
    """How well the classes separate in the latent space; writes the test images' vectors, those of
    the start's encoder beside them, and their projections."""
    train, test = run.splits["train"], run.splits["test"]
    known, vectors = run.vectors("train"), run.vectors("test")
    starting = {}
    if start:
        starting["start"] = inference.embeddings(start.to(run.device), test.images, run.device)
    (out / "embeddings.safetensors").write_bytes(save({"run": vectors, **starting}))
    counts = resampling.counts(len(test), run.resamples, run.seed)
    separation = space.separation(
        (known, train.labels), (vectors, test.labels), wanted.neighbours, counts
    )
    explained = write_points(out, vectors, test.labels, about, wanted, run.seed)
    return {"n": len(test), "variance_explained": explained, **separation}


def write_points(
    out: Path, vectors: np.ndarray, labels: np.ndarray, about: captions.About, latent, seed: int
) -> list[float]:
    """PCA and t-SNE of some test images, one line per image; returns the share of the variance that
    each of the two principal components holds."""
    shown = np.sort(np.random.default_rng(seed).permutation(len(labels))[: latent.images])
    components, explained = space.pca(vectors[shown])
    spread = space.tsne(vectors[shown], latent.perplexity, seed)
    rows = (
        {"image": int(i), "class": about.classes[labels[i]]}
        | {"pca_1": float(p[0]), "pca_2": float(p[1])}
        | {"tsne_1": float(t[0]), "tsne_2": float(t[1])}
        for i, p, t in zip(shown, components, spread)
    )
    tables.write_csv(out / "latent.csv", rows)
    return explained.tolist()


if __name__ == "__main__":
    stage.run(evaluate)
