"""Stage: score a run's trainings on its test images, once, explain one of them with GradCAM, and
measure their latent spaces. Writes numbers only: stage `draw` makes figures of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from chestflow.core import history, tables
from chestflow.images import arrays, captions
from chestflow.measures import latent as space
from chestflow.measures import maps, readers, scores
from chestflow.network import checkpoint, device, inference, model, perturbation
from chestflow.network import gradcam as cam
from chestflow.parameters import reading, stage
from chestflow.parameters.schema import GradCAM, Latent

# The baseline of GradCAM. So many draws, because they differ by far; of so few images, because more
# would narrow their range by little and take longer than all else here.
RANDOM_NETWORKS = 20
RANDOM_IMAGES = 200
# Of deletion and insertion: random maps beside each image's own, and how many pixels they cover.
DRAWS = 5
PERTURBED = 200 * 28 * 28


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
    gradcam: GradCAM,
    latent: Latent,
) -> None:
    """metrics: a pattern that holds `{kind}`: what is measured."""
    declared, here = reading.dataset(datasets, dataset), device.prepare(threads)
    about = captions.of_folder(images, declared.title, declared.positive)
    epochs = tables.read_csv(trained / "history.csv")
    losses = history.kept(epochs, "val_loss")
    shown = history.median_training(losses)
    runs = [load(checkpoint.training(trained, k), images, here) for k in range(len(losses))]
    starts = [checkpoint.load_start(init, k) for k in range(len(losses))]
    record = {"weights": checkpoint.digest(trained)} | training_record(epochs, runs[0].network)
    found = {
        "runs": score(runs, shown, out) | record,
        "gradcam": {"training": shown} | explain(runs[shown], gradcam, seed, out),
        "latent": embed(runs, starts, shown, about, latent, seed, out),
    }
    for kind, values in found.items():
        tables.write_json(stage.at(metrics, kind=kind), about.record() | values)
    auroc, accuracy = (found["runs"][key] for key in ("auroc", "accuracy"))
    means = f"mean AUROC {auroc:.3f}, accuracy {accuracy:.3f}"
    print(f"evaluate: {run}: {len(runs)} trainings, {means}, {about.caption}")


@dataclass(frozen=True)
class Trained:
    """One training of the run, and the images that it is measured on."""

    network: model.Classifier
    splits: dict[str, arrays.Split]  # train and val: the labelled images that training saw
    class_weights: bool  # whether both classes weighed the same in the loss
    device: torch.device

    def probabilities(self, split: str) -> np.ndarray:
        images = torch.from_numpy(self.splits[split].images).to(self.device)
        return inference.probabilities(self.network, images)

    def vectors(self, split: str, network: model.Classifier | None = None) -> np.ndarray:
        chosen = network.to(self.device) if network else self.network
        return inference.embeddings(chosen, self.splits[split].images, self.device)


def load(folder: Path, images: Path, here: torch.device) -> Trained:
    """A training with all test images, and those of train and val whose labels it has seen."""
    splits = {name: arrays.read(images, name) for name in arrays.SPLITS}
    drawn = tables.read_json(folder / "drawn.json")
    splits |= {name: splits[name][np.array(index)] for name, index in drawn.items()}
    weighted = checkpoint.read(folder)[1]["class_weights"]
    return Trained(checkpoint.load_classifier(folder).to(here), splits, weighted, here)


def training_record(epochs: history.Columns, network: model.Classifier) -> dict:
    """Mean validation scores of the weights that were kept, and, where it was timed, how many
    seconds a training took."""
    found = {name: history.kept(epochs, name) for name in ("val_auroc", "val_loss")}
    if "seconds" in epochs:
        found["train_seconds"] = [one["seconds"][-1] for one in history.by_training(epochs)]
    told = {name: float(np.mean(values)) for name, values in found.items()}
    return told | {"parameters": model.n_parameters(network)}


# ------------------------------------------------------------------------------------- scores


def score(runs: list[Trained], shown: int, out: Path) -> dict:
    """All scores on test; threshold and calibration are chosen on validation."""
    labels = runs[0].splits["test"].labels
    probability = np.stack([run.probabilities("test") for run in runs])
    settled = [settle(run) for run in runs]
    found = [scores.curves(labels, row) for row in probability]
    for name in found[0]:
        rows = ({"training": k, **row} for k, one in enumerate(found) for row in one[name])
        tables.write_csv(out / f"{name}.csv", rows)
    return scores.report(labels, probability, settled, shown)


def settle(run: Trained) -> scores.Settled:
    share = 0.5 if run.class_weights else float(run.splits["train"].labels.mean())
    return scores.settle(run.splits["val"].labels, run.probabilities("val"), share)


# ------------------------------------------------------------------------------------- GradCAM


def explain(run: Trained, wanted: GradCAM, seed: int, out: Path) -> dict:
    """Scores of the GradCAM maps of all test images; writes a few as examples."""
    test = run.splits["test"]
    images = torch.from_numpy(test.images).to(run.device)

    def maps_by_block() -> Iterator[tuple]:
        for block in arrays.blocks(images):
            maps_of = cam.grad_cams(run.network, wanted.layer, images[block], target=1)
            yield maps_of, None if test.masks is None else test.masks[block]

    probability = run.probabilities("test")
    shown = maps.examples(test.labels, probability, wanted.images, seed)
    found = [cam.grad_cams(run.network, wanted.layer, images[shown], target) for target in (0, 1)]
    write_examples(out, test[shown], probability[shown], np.stack(found))
    random = maps.beside_random(beside_random(run, wanted.layer, seed))
    report = maps.report(maps.score(maps_by_block()), random)
    report["n_random"] = min(RANDOM_IMAGES, len(test))
    return report | {"perturbation": perturb(run, wanted.layer, probability, seed)}


def perturb(run: Trained, layer: str, probability: np.ndarray, seed: int) -> dict:
    """Deletion and insertion of some images that the network calls diseased, each beside random
    maps: the mean differences, with intervals over these images."""
    test, train = run.splits["test"], run.splits["train"]
    found = np.random.default_rng(seed).permutation(np.flatnonzero(probability >= 0.5))
    found = np.sort(found[: max(2, PERTURBED // test.images[0].size)])
    told: dict = {"n": len(found), "draws": DRAWS}
    if len(found) < 2:
        return told
    images = torch.from_numpy(test[found].images).to(run.device)
    heat = cam.grad_cams(run.network, layer, images, target=1)
    replacement = perturbation.healthy_mean(train.images, train.labels)
    areas = perturbation.beside_random_maps(run.network, images, heat, 1, replacement, DRAWS)
    for name, values in areas.items():
        estimate = readers.estimate(readers.mean(values[None]), bounds=(None, None))
        told[name] = [estimate["value"], *estimate["ci95"]]
    return told


def beside_random(run: Trained, layer: str, seed: int) -> Iterator[tuple]:
    """Blocks of some test images' maps, by the trained network and by RANDOM_NETWORKS others."""
    rng = np.random.default_rng(seed)  # not the seed itself: training may have begun there
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
    runs: list[Trained],
    starts: list[model.Classifier | None],
    shown: int,
    about: captions.About,
    wanted: Latent,
    seed: int,
    out: Path,
) -> dict:
    """How well the classes separate in the latent spaces; writes the test images' vectors, those of
    the starts' encoders beside them, and the projections of the training that is shown."""
    labels, vectors = runs[0].splits["test"].labels, [run.vectors("test") for run in runs]
    kept = {"run": vectors}
    if starts[0]:
        kept["start"] = [run.vectors("test", start) for run, start in zip(runs, starts)]
    arrays_kept = {name: np.stack(found).astype(np.float32) for name, found in kept.items()}
    (out / "embeddings.safetensors").write_bytes(save(arrays_kept))
    found = [
        space.separation(
            (run.vectors("train"), run.splits["train"].labels), (own, labels), wanted.neighbours
        )
        for run, own in zip(runs, vectors)
    ]
    each = {name: [one[name] for one in found] for name in found[0]}
    told = {name: readers.spread(values) for name, values in each.items()}
    return {
        "n": len(labels),
        "trainings": len(runs),
        "training": shown,
        **{name: one["value"] for name, one in told.items()},
        "sd": {name: one["sd"] for name, one in told.items()},
        "each": each,
        "variance_explained": write_points(out, vectors[shown], labels, about, wanted, seed),
    }


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
