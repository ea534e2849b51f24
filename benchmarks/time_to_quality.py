"""Seconds of training until a run is as good as the published ResNet-18, beside that network's own.

The clock runs while `loop.fit` does: training, validation, the choice of the weights. The quality
is reached at the first epoch from which on the weights that would be kept pass both figures on
test, to the end of the recipe. Test images choose nothing: the recipe ends by itself,
and its whole time is reported as well.
"""

import time

import torch
from torch import nn
from torchvision.models import resnet18

from benchmarks import harness
from chestflow.metrics import intervals
from chestflow.models.cnn import Classifier
from chestflow.models.inference import probabilities, standardise
from chestflow.training import batches, classifier, freezing

# The default settings, shorter: of 3, 4, 6 and 8 epochs the fewest with which each of the seeds 100
# to 102 came within `min_delta` of its validation AUROC after 20; test was not looked at.
RECIPE = {"epochs": 8, "patience": 8}
QUALITY = {  # on test; what the ResNet-18 reaches at 28 pixels (Yang et al. 2023)
    "images": {"auroc": 0.944, "accuracy": 0.854},
    "phantom": {"auroc": 0.94, "accuracy": 0.85},  # of our own making: nothing is published
}
RESNET = {"epochs": 100, "batch_size": 128, "lr": 0.001}  # MedMNIST's own recipe, with Adam
RESNET_STEPS = 2  # measured beside each seed


def measure(quick: bool) -> dict:
    seeds = range(1 if quick else 5)
    with harness.archive(quick) as (folder, about):
        splits = harness.read(folder)
    wanted = QUALITY["phantom" if about.is_phantom else "images"]
    baseline = ResNet(splits["train"], 8 if quick else RESNET["batch_size"])
    runs, seconds = [], []
    for seed in seeds:
        print(f"  seed {seed}: this project ...", flush=True)
        runs.append({"seed": seed, **until(wanted, follow(splits, seed))})
        print(f"  seed {seed}: ResNet-18, {RESNET_STEPS} steps ...", flush=True)
        seconds += [baseline.step() for _ in range(RESNET_STEPS)]
    n_steps = -(-len(splits["train"].labels) // RESNET["batch_size"]) * RESNET["epochs"]
    recipe = [run["epochs"][-1]["seconds"] for run in runs]
    reached = [run["reached_seconds"] for run in runs]
    all_reached = None not in reached
    resnet = harness.summary([n_steps * step for step in seconds])
    factor = resnet["median"] / harness.summary(recipe)["median"]
    quality = resnet["median"] / harness.summary(reached)["median"] if all_reached else None
    return {
        "images": about.caption,
        "n_test": len(splits["test"].labels),
        "wanted": wanted,
        "recipe": RECIPE,
        "runs": runs,
        "seeds_reached": sum(value is not None for value in reached),
        "reached_seconds": harness.summary(reached) if all_reached else None,
        "recipe_seconds": harness.summary(recipe),
        "resnet": {
            **RESNET,
            "weights": baseline.weights,
            "threads": harness.cores(),
            "steps": n_steps,
            "step_seconds": harness.summary(seconds),
            "seconds": resnet,
        },
        "resnet_to_quality": quality,
        "resnet_to_recipe": factor,
        "goals": [
            harness.goal(
                "seconds to the published figures, slowest seed",
                max(reached) if all_reached else None,
                15,
                at_least=False,
            ),
            harness.goal(
                "the ResNet-18's training time over the time to quality, median seed",
                quality,
                1000,
                at_least=True,
            ),
        ],
    }


def follow(splits: dict[str, batches.Samples], seed: int) -> list[dict]:
    """Train once; after each epoch, the seconds so far and the test scores of the weights that it
    would keep. On all cores, as the ResNet; scoring test stops the clock."""
    torch.set_num_threads(harness.cores())
    start = time.perf_counter()
    chosen = harness.settings().model_copy(update=RECIPE)
    torch.manual_seed(seed)
    model = Classifier(**chosen.architecture)
    plan = freezing.phases("unfrozen", chosen.blocks, chosen.lr, 1.0, 1.0)
    epochs, seconds, scores = [], 0.0, {}
    for row in classifier.fit(model, splits["train"], splits["val"], chosen, plan, seed):
        seconds += time.perf_counter() - start
        scores = score(model, splits["test"]) if row["improved"] else scores
        epochs.append({"seconds": seconds, "val_auroc": row["val_auroc"], **scores})
        start = time.perf_counter()
    return epochs


def score(model: Classifier, test: batches.Samples) -> dict[str, float]:
    labels, positive = test.labels.numpy(), probabilities(model.eval(), test.images)[None]
    return {
        "auroc": float(intervals.auroc(labels, positive).values[0]),
        "accuracy": float(intervals.decisions(labels, positive > 0.5)["accuracy"].values[0]),
    }


def until(wanted: dict[str, float], epochs: list[dict]) -> dict:
    """The first epoch from which on every choice passes; None where the last one does not."""
    passes = [all(epoch[key] >= figure for key, figure in wanted.items()) for epoch in epochs]
    first = len(passes) - next((i for i, ok in enumerate(reversed(passes)) if not ok), len(passes))
    reached = epochs[first]["seconds"] if first < len(epochs) else None
    return {
        "reached_epoch": first + 1 if reached is not None else None,
        "reached_seconds": reached,
        "epochs": epochs,
    }


class ResNet:
    """MedMNIST's ResNet-18 for 28 pixels in training: a first convolution of 3 x 3 without stride
    and no pooling behind it, so that so small an image is not shrunk at once. On all cores."""

    def __init__(self, images: batches.Samples, batch_size: int) -> None:
        self.model = resnet18(num_classes=2)
        self.model.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
        self.model.maxpool = nn.Identity()
        self.weights = sum(p.numel() for p in self.model.parameters())
        self.images, self.labels = (
            standardise(images.images[:batch_size]),
            images.labels[:batch_size],
        )
        self.optimiser = torch.optim.Adam(self.model.parameters(), RESNET["lr"])
        self.step()  # warms up

    def step(self) -> float:
        """Seconds of one step."""
        torch.set_num_threads(harness.cores())
        start = time.perf_counter()
        self.optimiser.zero_grad()
        nn.functional.cross_entropy(self.model(self.images), self.labels).backward()
        self.optimiser.step()
        return time.perf_counter() - start


# ------------------------------------------------------------------------------------------ tables


def markdown(result: dict) -> list[str]:
    wanted, resnet = result["wanted"], result["resnet"]
    rows = [
        [
            str(run["seed"]),
            "not reached" if run["reached_seconds"] is None else f"{run['reached_seconds']:.1f}",
            str(run["reached_epoch"] or ""),
            f"{run['epochs'][-1]['seconds']:.1f}",
            f"{run['epochs'][-1]['auroc']:.3f}",
            f"{run['epochs'][-1]['accuracy']:.3f}",
        ]
        for run in result["runs"]
    ]
    quality = result["resnet_to_quality"]
    times = "not to be set against" if quality is None else f"{quality:,.0f} times"
    head = ["seed", "seconds to quality", "epoch", "seconds of all epochs", "AUROC", "accuracy"]
    origin = "our own figures" if "PHANTOM" in result["images"] else "the published figures"
    return [
        f"{result['images']}, {result['n_test']} test images; quality: AUROC {wanted['auroc']} and"
        f" accuracy {wanted['accuracy']} on test ({origin}); {resnet['threads']} threads;"
        f" {result['recipe']['epochs']} epochs, the last two columns after them.",
        "",
        *harness.table(head, rows),
        f"ResNet-18 with {resnet['weights']:,} weights, its own recipe on {resnet['threads']}"
        f" threads: {harness.spread(resnet['step_seconds'], 2)} s per step, {resnet['steps']:,}"
        f" steps: {resnet['seconds']['median']:,.0f} s, {times} the time to quality and"
        f" {result['resnet_to_recipe']:,.0f} times the whole recipe's"
        f" {result['recipe_seconds']['median']:.1f} s (medians).",
        "",
    ]


if __name__ == "__main__":
    harness.command(measure, markdown)
