"""Time and memory of training over the number of images and over their side length.

Each point is a fresh process that does what the stage `train` does with the images: map them, draw
the labelled ones, train one epoch. Needs Linux, which tells a process its peak memory: that of
`resource.getrusage` would count what the parent held before it started the process.
"""

import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks import harness
from chestflow.data import arrays, labels
from chestflow.models.cnn import Classifier
from chestflow.models.inference import standardise
from chestflow.sources import phantom
from chestflow.training import batches, classifier, freezing

IMAGES = (1_000, 3_000, 10_000, 30_000, 100_000)  # at SIDE pixels
SIDE = 28
SIDES = (28, 64, 128, 224)  # with FEW images
FEW = 1_000
DRAWN = 64  # different phantoms of a point, repeated: growth is not about what they show
KB = {"VmHWM": "peak_mb", "RssAnon": "anonymous_mb", "RssFile": "mapped_mb"}


def measure(quick: bool) -> dict:
    images, sides, rounds = (IMAGES, SIDES, 3) if not quick else ((200, 400), (28, 32), 1)
    points = [(n, SIDE) for n in images] + [(FEW, side) for side in sides]
    with tempfile.TemporaryDirectory() as name, fresh() as process:
        folders = {point: write(Path(name), *point) for point in dict.fromkeys(points)}
        turns = harness.alternate(
            {
                f"{n} images of {side} pixels": lambda f=folder: process.apply(train, (f,))
                for (n, side), folder in folders.items()
            },
            rounds,
            warm=False,
        )
    measured = {
        point: {key: harness.summary([turn[key] for turn in taken]) for key in taken[0]}
        for point, taken in zip(folders, turns.values())
    }
    over_images = [{"images": n, "side": SIDE, **measured[n, SIDE]} for n in images]
    over_sides = [{"images": FEW, "side": side, **measured[FEW, side]} for side in sides]
    exponent = slope(over_images, "images", "seconds")
    beyond = memory_per_image(over_images) - 1
    return {
        "rounds": rounds,
        "over_images": over_images,
        "over_sides": over_sides,
        "exponent": exponent,
        "exponent_of_side": slope(over_sides, "side", "seconds"),
        "memory_beyond_file": beyond,
        "goals": [
            harness.goal(
                "exponent of training time over the number of images",
                exponent,
                1.05,
                at_least=False,
            ),
            harness.goal(
                "peak memory per further image beyond the mapped file, in sizes of an image",
                beyond,
                0.1,
                at_least=False,
            ),
        ],
    }


def fresh():
    """A pool whose process ends after one task, so that no point sees another's memory."""
    return get_context("spawn").Pool(1, maxtasksperchild=1)


def write(folder: Path, n: int, side: int) -> Path:
    """n images as the stage `binarize` leaves them."""
    sizes = {"train": DRAWN, "val": DRAWN}
    drawn = phantom.archive("pneumoniamnist", sizes, seed=0, size=side)
    drawn = {
        key: array for key, array in drawn.items() if not key.endswith("masks")
    }  # as real data
    train, val = (arrays.split_of(drawn, name) for name in sizes)
    again = np.arange(n) % DRAWN
    target = folder / f"{n}-{side}"
    arrays.write(target, "phantom", {"train": train[again], "val": val})
    return target


def train(folder: Path) -> dict:
    """One epoch, in this process: seconds to load and to train, and the memory it took."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    chosen = harness.settings()
    chosen = chosen.model_copy(update={"epochs": 1, "patience": 1})
    start = time.perf_counter()
    splits = {name: arrays.read(folder, name) for name in ("train", "val")}
    drawn = {name: labels.sample(split.labels, "all", 0, name) for name, split in splits.items()}
    images = [batches.Samples.to(harness.CPU, splits[name][drawn[name]]) for name in splits]
    loaded = time.perf_counter() - start
    warm_up(images[0], chosen)
    plan = freezing.phases("unfrozen", chosen.blocks, chosen.lr, 1.0, 1.0)
    model = Classifier(**chosen.architecture)
    start = time.perf_counter()
    for _ in classifier.fit(model, *images, chosen, plan, seed=0):
        pass
    seconds = time.perf_counter() - start
    size = (folder / "train_images.npy").stat().st_size / 1e6
    return {"load_seconds": loaded, "seconds": seconds, "file_mb": size, **memory()}


def warm_up(images: batches.Samples, chosen) -> None:
    """The first step prepares convolutions of its shape, and torch's optimiser imports a compiler:
    seconds that do not grow with n, and would make growth look smaller than it is."""
    model = Classifier(**chosen.architecture).to(memory_format=torch.channels_last)
    logits = model(standardise(images.images[: chosen.batch_size]))
    nn.functional.cross_entropy(logits, images.labels[: chosen.batch_size]).backward()
    torch.optim.AdamW(model.parameters()).step()


def memory() -> dict[str, float]:
    """MB of this process: the peak so far; now, what is its own, and what is mapped from files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return {name: int(values[key].split()[0]) * 1024 / 1e6 for key, name in KB.items()}


def slope(points: list[dict], x: str, y: str) -> float:
    """Exponent k of y = c x^k, by least squares of the logarithms of the medians."""
    xs, ys = [point[x] for point in points], [point[y]["median"] for point in points]
    return float(np.polyfit(np.log(xs), np.log(ys), 1)[0])


def memory_per_image(points: list[dict]) -> float:
    """Peak memory per further image, in sizes of an image in the file, by least squares."""
    sizes = [point["file_mb"]["median"] for point in points]
    return float(np.polyfit(sizes, [point["peak_mb"]["median"] for point in points], 1)[0])


# ------------------------------------------------------------------------------------------ tables


def markdown(result: dict) -> list[str]:
    head = ["images", "side", "load, s", "epoch, s", "file, MB", "peak, MB", "its own, MB"]
    over_images, over_sides = (
        harness.table(head, [row(point) for point in result[key]])
        for key in ("over_images", "over_sides")
    )
    return [
        f"One epoch in a fresh process, {result['rounds']} rounds: median [lowest, highest].",
        "",
        *over_images,
        f"Time grows with the number of images to the power {result['exponent']:.2f}; peak memory"
        f" by {1 + result['memory_beyond_file']:.2f} times the size of a further image, once of"
        " which is the mapped file.",
        "",
        *over_sides,
        f"Time grows with the side length to the power {result['exponent_of_side']:.2f}; 2 would be"
        " proportional to the number of pixels.",
        "",
    ]


def row(point: dict) -> list[str]:
    return [
        f"{point['images']:,}",
        str(point["side"]),
        harness.spread(point["load_seconds"], 2),
        harness.spread(point["seconds"], 2),
        f"{point['file_mb']['median']:.1f}",
        harness.spread(point["peak_mb"]),
        harness.spread(point["anonymous_mb"]),
    ]


if __name__ == "__main__":
    harness.command(measure, markdown)
