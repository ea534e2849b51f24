"""Time and memory of training over the number of images and over their side length.

Each point is a fresh process that does with the images what stage `train` does: map them into
memory and train for one pass through them. Needs Linux, which tells a process its own peak memory.
"""

import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks import harness
from chestflow.data import arrays
from chestflow.models.cnn import Classifier
from chestflow.models.inference import standardise
from chestflow.sources import phantom
from chestflow.training import batches, classifier

IMAGES = (1_000, 3_000, 10_000, 30_000, 100_000)  # at SIDE pixels
SIDE = 28
SIDES = (28, 64, 128, 224)  # with FEW images
FEW = 1_000
DISTINCT = 64  # different phantoms of a point, repeated: growth is not about what they show
KB = {"VmHWM": "peak_mb", "RssAnon": "anonymous_mb"}


def measure(quick: bool) -> dict:
    images, sides, rounds = (IMAGES, SIDES, 3) if not quick else ((200, 400), (28, 32), 1)
    points = [(n, SIDE) for n in images] + [(FEW, side) for side in sides]
    with tempfile.TemporaryDirectory() as name, fresh() as process:
        folders = {point: write(Path(name), *point) for point in dict.fromkeys(points)}
        turns = harness.take_turns(
            {
                f"{n} images of {side} pixels": lambda f=folder: process.apply(train, (f,))
                for (n, side), folder in folders.items()
            },
            rounds,
        )
    measured = {
        point: {key: harness.summary([turn[key] for turn in taken]) for key in taken[0]}
        for point, taken in zip(folders, turns.values(), strict=True)
    }
    over_images = [{"images": n, "side": SIDE, **measured[n, SIDE]} for n in images]
    over_sides = [{"images": FEW, "side": side, **measured[FEW, side]} for side in sides]
    return {
        "rounds": rounds,
        "over_images": over_images,
        "over_sides": over_sides,
        "exponent": exponent(over_images, "images"),
        "exponent_of_side": exponent(over_sides, "side"),
        "memory_beyond_file": memory_per_image(over_images) - 1,
    }


def fresh():
    """A pool whose process ends after one task, so that no point sees another's memory."""
    return get_context("spawn").Pool(1, maxtasksperchild=1)


def write(folder: Path, n: int, side: int) -> Path:
    """n training images, and a few to validate, as files that can be mapped into memory."""
    target = folder / f"{n}-{side}"
    distinct = phantom.archive("pneumoniamnist", {"train": DISTINCT, "val": DISTINCT}, 0, side)
    splits = {}
    for split, length in (("train", n), ("val", DISTINCT)):
        images, labels = distinct[f"{split}_images"], distinct[f"{split}_labels"][:, 0]
        splits[split] = arrays.Split(images, labels)[np.arange(length) % DISTINCT]
    arrays.write(target, "phantom", splits)
    return target


def train(folder: Path) -> dict:
    """One pass, in this process: its seconds, the size of the images, the memory it took."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    mapped = (arrays.read(folder, split) for split in ("train", "val"))
    images = [batches.Samples.to(torch.device("cpu"), split) for split in mapped]
    chosen = harness.settings()
    steps = max(1, len(images[0].labels) // chosen.batch_size)
    chosen = chosen.model_copy(update={"steps": steps})
    warm_up(images[0], chosen)
    model = Classifier(**chosen.architecture)
    start = time.perf_counter()
    for _ in classifier.fit(model, *images, chosen, seed=0):
        pass
    seconds = time.perf_counter() - start
    size = (folder / "train_images.npy").stat().st_size / 1e6
    return {"seconds": seconds, "file_mb": size, **memory()}


def warm_up(images: batches.Samples, chosen) -> None:
    """The first step prepares convolutions of its shape, and torch's optimiser imports a compiler:
    seconds that do not grow with n, and would make growth look smaller than it is."""
    model = Classifier(**chosen.architecture).to(memory_format=torch.channels_last)
    logits = model(standardise(images.images[: chosen.batch_size]))
    nn.functional.cross_entropy(logits, images.labels[: chosen.batch_size]).backward()
    torch.optim.AdamW(model.parameters()).step()


def memory() -> dict[str, float]:
    """MB of this process: its peak so far, and how much it holds now apart from mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return {name: int(values[key].split()[0]) * 1024 / 1e6 for key, name in KB.items()}


def exponent(points: list[dict], x: str) -> float:
    """k in seconds = c x^k, by least squares of the logarithms of the medians."""
    xs, ys = [point[x] for point in points], [point["seconds"]["median"] for point in points]
    return float(np.polyfit(np.log(xs), np.log(ys), 1)[0])


def memory_per_image(points: list[dict]) -> float:
    """Peak memory per further image, as a multiple of its size in the file, by least squares."""
    sizes = [point["file_mb"]["median"] for point in points]
    return float(np.polyfit(sizes, [point["peak_mb"]["median"] for point in points], 1)[0])


# ------------------------------------------------------------------------------------------ tables


def markdown(result: dict) -> list[str]:
    head = ["images", "side", "one pass, s", "file, MB", "peak, MB", "without mapped files, MB"]
    over_images, over_sides = (
        harness.table(head, [row(point) for point in result[key]])
        for key in ("over_images", "over_sides")
    )
    return [
        f"One pass through the images in a fresh process, {result['rounds']} rounds: median"
        " [lowest, highest].",
        "",
        *over_images,
        f"Time grows with the number of images to the power {result['exponent']:.2f}. Each further"
        f" image adds {1 + result['memory_beyond_file']:.2f} times its size to the peak memory;"
        " the mapped file accounts for 1.",
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
        harness.median_range(point["seconds"], 2),
        f"{point['file_mb']['median']:.1f}",
        harness.median_range(point["peak_mb"]),
        harness.median_range(point["anonymous_mb"]),
    ]


if __name__ == "__main__":
    harness.command(measure, markdown)
