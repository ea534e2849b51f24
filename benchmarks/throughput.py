"""Training images per second: this project's loop beside that of a typical notebook.

Both train the same network with the same optimiser at the same batch size; what differs is how
images reach it. A turn is one epoch. Turns run in worker processes that live on between them.
"""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from medmnist import PneumoniaMNIST
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks import harness
from chestflow.models.cnn import Classifier
from chestflow.training import augmentation, batches, classifier

ENDLESS = 1_000_000  # steps: more than any number of rounds takes


@dataclass(frozen=True)
class Variant:
    """A loop in one or two processes at once; about: what the table calls it."""

    loop: str
    processes: int
    threads: int
    about: str


def variants() -> dict[str, Variant]:
    plain, default = "this project, augmentation off", "this project, default settings"
    notebook, augmented = "notebook loop", "notebook loop, torchvision's augmentation"
    return {
        "plain": Variant("plain", 1, 1, plain),
        "notebook": Variant("notebook", 1, 1, notebook),
        "augmented": Variant("augmented", 1, 1, default),
        "notebook_augmented": Variant("notebook_augmented", 1, 1, augmented),
        "plain_twice": Variant("plain", 2, 1, plain),
        "augmented_twice": Variant("augmented", 2, 1, default),
        "notebook_threads": Variant("notebook", 1, harness.cores(), notebook),
        "notebook_twice": Variant("notebook", 2, 1, notebook),
    }


RATIOS = {  # name -> above, below
    "plain_to_notebook": ("plain", "notebook"),
    "augmented_to_notebook_augmented": ("augmented", "notebook_augmented"),
    "augmented_to_notebook": ("augmented", "notebook"),
    "plain_twice_to_notebook_threads": ("plain_twice", "notebook_threads"),
    "augmented_twice_to_notebook_threads": ("augmented_twice", "notebook_threads"),
    "plain_twice_to_notebook_twice": ("plain_twice", "notebook_twice"),
}


def measure(quick: bool) -> dict:
    rounds, chosen = (1 if quick else 6), variants()
    with harness.pneumoniamnist(quick) as (folder, caption), pool() as workers:
        turns = harness.take_turns(
            {
                name: lambda variant=variant: together(workers, variant, folder)
                for name, variant in chosen.items()
            },
            rounds,
        )
    rates = {name: [turn["rate"] for turn in turns[name]] for name in chosen}
    return {
        "images": caption,
        "batch_size": harness.settings().batch_size,
        "rounds": rounds,
        "variants": {
            name: {
                "about": variant.about,
                "processes": variant.processes,
                "threads": variant.threads,
                "images_per_second": harness.summary(rates[name]),
                "cpu_ms_per_image": harness.summary([turn["cpu_ms"] for turn in turns[name]]),
            }
            for name, variant in chosen.items()
        },
        "ratios": {name: harness.ratio(rates[a], rates[b]) for name, (a, b) in RATIOS.items()},
    }


# ------------------------------------------------------------------------------------------- loops


def start(loop: str, folder: Path) -> tuple[int, Iterator]:
    """Images per epoch, and the loop itself."""
    augmented = loop.endswith("augmented")
    train = harness.read(folder)["train"]
    n = len(train.labels)
    if loop.startswith("notebook"):
        return n, notebook(folder, augmented)
    return batches.EPOCH * harness.settings().batch_size, ours(train, augmented)


def ours(train: batches.Samples, augmented: bool) -> Iterator:
    """This project's loop. It validates after each epoch, here on so few images that it is free."""
    chosen = harness.settings()
    steps = chosen.augment if augmented else []
    chosen = chosen.model_copy(update={"augment": steps, "steps": ENDLESS})
    few = batches.Samples(train.images[:64], train.labels[:64])
    return classifier.fit(Classifier(**chosen.architecture), train, few, chosen, seed=0)


def notebook(folder: Path, augmented: bool) -> Iterator:
    """The loop of MedMNIST's own introduction, as it stands in countless notebooks."""
    chosen = harness.settings()
    dataset = PneumoniaMNIST(split="train", transform=transform(augmented), root=str(folder))
    # medmnist insists on the published number of images; a trial has fewer.
    dataset.info = dataset.info | {"n_samples": {"train": len(dataset.labels)}}
    loader = DataLoader(dataset, chosen.batch_size, shuffle=True)
    model, criterion = Classifier(**chosen.architecture), nn.CrossEntropyLoss()
    optimiser = torch.optim.AdamW(model.parameters(), chosen.lr, weight_decay=chosen.weight_decay)
    model.train()
    while True:
        for inputs, targets in loader:
            optimiser.zero_grad()
            loss = criterion(model(inputs), targets.squeeze(1).long())
            loss.backward()
            optimiser.step()
        yield


def transform(augmented: bool) -> transforms.Compose:
    """PIL image -> normalised tensor; augmented by what torchvision has nearest to ours."""
    move = transforms.RandomAffine(
        degrees=math.degrees(augmentation.ROTATION),
        translate=(augmentation.SHIFT / 2, augmentation.SHIFT / 2),
        scale=(1 - augmentation.SCALE, 1 + augmentation.SCALE),
        interpolation=transforms.InterpolationMode.BILINEAR,
    )
    expose = transforms.ColorJitter(augmentation.BRIGHTNESS, augmentation.CONTRAST)
    first = [move, expose] if augmented else []
    return transforms.Compose([*first, transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])


# --------------------------------------------------------------------------------------- processes


def pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))


def together(workers: ProcessPoolExecutor, variant: Variant, folder: Path) -> dict:
    """One turn of a loop in each process at once; the slower one sets the rate."""
    arguments = [(variant.loop, variant.threads, folder)] * variant.processes
    turns = list(workers.map(turn, *zip(*arguments, strict=True)))
    n = sum(t["images"] for t in turns)
    return {
        "rate": n / max(t["seconds"] for t in turns),
        "cpu_ms": 1000 * sum(t["cpu"] for t in turns) / n,
    }


STARTED: dict[str, tuple[int, Iterator]] = {}  # in a worker: the loops that it goes on with


def turn(loop: str, threads: int, folder: Path) -> dict:
    """One epoch; a loop's first, which warms up, is not timed."""
    torch.set_num_threads(threads)
    if not STARTED:
        keep_memory()
    if loop not in STARTED:
        torch.manual_seed(0)
        STARTED[loop] = start(loop, folder)
        next(STARTED[loop][1])
    images, epochs = STARTED[loop]
    wall, cpu = time.perf_counter(), time.process_time()
    next(epochs)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"images": images, "seconds": wall, "cpu": cpu}


def keep_memory() -> None:
    """Once a block this large is freed, glibc keeps freed memory for the next step instead of
    fetching it from the system again, which costs a tenth of a step. In a real training, ours or a
    notebook's, validation in large batches has this effect; here there is none."""
    torch.empty(24 << 20, dtype=torch.uint8)


# ------------------------------------------------------------------------------------------ tables


def markdown(result: dict) -> list[str]:
    measured = {name: result["variants"][name] for name in variants()}
    rows = [
        [
            entry["about"],
            f"{entry['processes']} x {entry['threads']}",
            harness.median_range(entry["images_per_second"]),
            f"{entry['cpu_ms_per_image']['median']:.3f}",
        ]
        for entry in measured.values()
    ]
    names = {
        name: f"{entry['about']} ({entry['processes']} x {entry['threads']})"
        for name, entry in measured.items()
    }
    ratios = [
        [f"{names[a]} / {names[b]}", harness.median_range(result["ratios"][name], 2)]
        for name, (a, b) in RATIOS.items()
    ]
    return [
        f"{result['images']}, batches of {result['batch_size']}, {result['rounds']} rounds:"
        " median [lowest, highest].",
        "",
        *harness.table(["loop", "processes x threads", "images/s", "CPU ms per image"], rows),
        *harness.table(["images/s, round by round", "ratio"], ratios),
    ]


if __name__ == "__main__":
    harness.command(measure, markdown)
