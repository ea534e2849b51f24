"""Training images per second: this project's loop, the notebook's, and what bounds both.

Everything trains the same network with the same optimiser at the same batch size, one epoch per
turn; what differs is how images reach it. Turns run in worker processes that live on between them.
"""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from medmnist import PneumoniaMNIST
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from benchmarks import harness
from chestflow import augmentation
from chestflow.network.inference import standardise
from chestflow.network.model import Classifier
from chestflow.training import batching, loop, objectives, strategies

FOREVER = 10_000  # epochs: more than any number of rounds
SIDE = 1024  # of the square matrices whose product shows what a core can do
PRODUCTS = 40  # per turn


@dataclass(frozen=True)
class Variant:
    """A loop in one or several processes at once; about: how the table calls it."""

    loop: str
    processes: int
    threads: int
    about: str


def variants() -> dict[str, Variant]:
    every = harness.cores()
    return {
        "plain": Variant("plain", 1, 1, "this project, augmentation off"),
        "resident": Variant("resident", 1, 1, "one resident batch"),
        "notebook": Variant("notebook", 1, 1, "notebook loop"),
        "augmented": Variant("augmented", 1, 1, "this project, default settings"),
        "resident_augmented": Variant(
            "resident_augmented", 1, 1, "one resident batch, augmented each step"
        ),
        "notebook_augmented": Variant(
            "notebook_augmented", 1, 1, "notebook loop, torchvision's augmentation"
        ),
        "products": Variant("products", 1, 1, "matrix products (the machine's limit)"),
        "plain_twice": Variant("plain", 2, 1, "this project, augmentation off"),
        "augmented_twice": Variant("augmented", 2, 1, "this project, default settings"),
        "notebook_threads": Variant("notebook", 1, every, "notebook loop"),
        "notebook_twice": Variant("notebook", 2, 1, "notebook loop"),
    }


RATIOS = {  # name -> above, below
    "plain_to_notebook": ("plain", "notebook"),
    "augmented_to_notebook_augmented": ("augmented", "notebook_augmented"),
    "augmented_to_notebook": ("augmented", "notebook"),
    "plain_to_resident": ("plain", "resident"),
    "augmented_to_resident_augmented": ("augmented", "resident_augmented"),
    "plain_to_limit": ("plain", "products"),
    "plain_twice_to_notebook": ("plain_twice", "notebook"),
    "augmented_twice_to_notebook_augmented": ("augmented_twice", "notebook_augmented"),
    "plain_twice_to_notebook_threads": ("plain_twice", "notebook_threads"),
    "augmented_twice_to_notebook_threads": ("augmented_twice", "notebook_threads"),
    "plain_twice_to_notebook_twice": ("plain_twice", "notebook_twice"),
}


def measure(quick: bool) -> dict:
    rounds, chosen = (1 if quick else 6), variants()
    with harness.archive(quick) as (folder, about), pool() as workers:
        measured = harness.alternate(
            {
                name: lambda variant=variant: together(workers, variant, folder)
                for name, variant in chosen.items()
            },
            rounds,
            warm=False,  # each loop has had a turn of its own before its first
        )
    flop = flop_per_image()
    rates = {key: [turn["rate"] for turn in turns] for key, turns in measured.items()}
    rates["products"] = [rate / flop for rate in rates["products"]]
    ratios = {name: harness.ratio(rates[a], rates[b]) for name, (a, b) in RATIOS.items()}
    return {
        "images": about.caption,
        "batch_size": settings(False).batch_size,
        "rounds": rounds,
        "flop_per_image": flop,
        "gflop_per_second": harness.summary([rate * flop / 1e9 for rate in rates["products"]]),
        "variants": {
            key: {
                "about": variant.about,
                "processes": variant.processes,
                "threads": variant.threads,
                "images_per_second": harness.summary(rates[key]),
                "cpu_ms_per_image": harness.summary([turn["cpu_ms"] for turn in measured[key]]),
            }
            for key, variant in chosen.items()
        },
        "ratios": ratios,
        "goals": goals({name: values["median"] for name, values in ratios.items()}),
    }


def goals(ratios: dict[str, float]) -> list[dict]:
    return [
        harness.goal(text, ratios[name], wanted, at_least=True)
        for text, name, wanted in (
            (
                "one process: images/s over the notebook loop's, augmentation off",
                "plain_to_notebook",
                2,
            ),
            (
                "one process: images/s over the notebook loop's, both augment",
                "augmented_to_notebook_augmented",
                2,
            ),
            (
                "two runs at once: images/s over one notebook loop's on one core, augmentation off",
                "plain_twice_to_notebook",
                3,
            ),
            (
                "two runs at once: images/s over one notebook loop's on one core, both augment",
                "augmented_twice_to_notebook_augmented",
                3,
            ),
            (
                "two runs at once: images/s over one notebook loop's on all cores",
                "plain_twice_to_notebook_threads",
                3,
            ),
            (
                "images/s over those of a resident batch, augmentation off",
                "plain_to_resident",
                0.95,
            ),
            (
                "images/s over those of a resident batch, both augment",
                "augmented_to_resident_augmented",
                0.95,
            ),
        )
    ]


# --------------------------------------------------------------------------------------- processes


def pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))


def together(workers: ProcessPoolExecutor, variant: Variant, folder: Path) -> dict:
    """One turn of a loop in each process at once; the slower one says how long that took."""
    arguments = [(variant.loop, variant.threads, folder)] * variant.processes
    turns = list(workers.map(turn, *zip(*arguments, strict=True)))
    work = sum(t["work"] for t in turns)
    return {
        "rate": work / max(t["seconds"] for t in turns),
        "cpu_ms": 1000 * sum(t["cpu"] for t in turns) / work,
    }


STARTED: dict[str, tuple[float, Iterator]] = {}  # in a worker: the loops that it goes on with


def turn(loop: str, threads: int, folder: Path) -> dict:
    torch.set_num_threads(threads)
    if not STARTED:
        keep_memory()
    if loop not in STARTED:
        torch.manual_seed(0)
        STARTED[loop] = start(loop, folder)
        next(STARTED[loop][1])
    work, turns = STARTED[loop]
    wall, cpu = time.perf_counter(), time.process_time()
    next(turns)
    return {
        "work": work,
        "seconds": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
    }


def keep_memory() -> None:
    """What a validation in larger batches does to every training, ours and the notebook's: once a
    block as large is freed, glibc keeps freed memory for the next step instead of returning it to
    the system and fetching it again, which costs a tenth of a step. Here nothing is validated."""
    torch.empty(24 << 20, dtype=torch.uint8)


def start(loop: str, folder: Path) -> tuple[float, Iterator]:
    """The work of one turn (images, or operations) and the loop itself."""
    if loop == "products":
        return 2 * SIDE**3 * PRODUCTS, products()
    kind, augmented = loop.split("_")[0], loop.endswith("augmented")
    images = harness.read(folder)
    n = len(images["train"].labels)
    if kind == "notebook":
        return n, notebook(folder, augmented)
    if kind == "resident":
        return n, resident(images["train"], augmented)
    return n * batching.passes(n), ours(images, augmented)


def settings(augmented: bool):
    chosen = harness.settings()
    steps = chosen.augment if augmented else []
    return chosen.model_copy(update={"augment": steps, "epochs": FOREVER, "patience": FOREVER})


# ------------------------------------------------------------------------------------------- loops


def ours(images: dict[str, batching.Samples], augmented: bool) -> Iterator:
    """This project's loop; it validates after each epoch, here on so few images that it is free."""
    chosen = settings(augmented)
    plan = strategies.phases("unfrozen", chosen.blocks, chosen.lr, 1.0, 1.0)
    few = batching.Samples(images["val"].images[:64], images["val"].labels[:64])
    return loop.fit(network(chosen), images["train"], few, chosen, plan, seed=0)


def notebook(folder: Path, augmented: bool) -> Iterator:
    """The loop of MedMNIST's own introduction, as it stands in countless notebooks."""
    chosen = settings(augmented)
    dataset = PneumoniaMNIST(split="train", transform=transform(augmented), root=str(folder))
    # medmnist insists on the published number of images; a trial has fewer.
    dataset.info = dataset.info | {"n_samples": {"train": len(dataset.labels)}}
    loader = DataLoader(dataset, chosen.batch_size, shuffle=True)
    model, criterion = network(chosen), nn.CrossEntropyLoss()
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
    """PIL image -> normalised tensor; augmented by torchvision's nearest to ours."""
    moved = transforms.RandomAffine(
        degrees=math.degrees(augmentation.ROTATION),
        translate=(augmentation.SHIFT / 2, augmentation.SHIFT / 2),
        scale=(1 - augmentation.SCALE, 1 + augmentation.SCALE),
        interpolation=transforms.InterpolationMode.BILINEAR,
    )
    exposed = transforms.ColorJitter(augmentation.BRIGHTNESS, augmentation.CONTRAST)
    first = [moved, exposed] if augmented else []
    return transforms.Compose([*first, transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])


def resident(images: batching.Samples, augmented: bool) -> Iterator:
    """The arithmetic of this project's loop on one batch that lies ready: no data path at all."""
    chosen = settings(augmented)
    model = network(chosen).to(memory_format=torch.channels_last).train()
    n, size = len(images.labels), min(chosen.batch_size, len(images.labels))
    batch, labels = standardise(images.images[:size]), images.labels[:size]
    criterion = nn.CrossEntropyLoss(objectives.class_weights(images.labels))
    optimiser = torch.optim.AdamW(
        model.parameters(), chosen.lr, weight_decay=chosen.weight_decay, fused=True
    )
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimiser, chosen.lr, total_steps=10**9)
    generator, total = torch.Generator().manual_seed(0), torch.zeros(())
    while True:
        for length in [size] * (n // size) + [n % size] * (n % size > 0):
            inputs = batch[:length]
            inputs = augmentation.augment(inputs, chosen.augment, generator)
            loss = criterion(
                model(inputs.contiguous(memory_format=torch.channels_last)), labels[:length]
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            scheduler.step()
            total += loss.detach() * length
        yield


def products() -> Iterator:
    """Products of matrices, by whichever of torch's two libraries is the faster here: MKL, or
    oneDNN, to which a 1 x 1 convolution of so many maps and places is the same product."""
    a, b = torch.randn(2, SIDE, SIDE)
    maps, kernels = (m.view(SIDE, SIDE, 1, 1) for m in (a, b))
    maps = maps.permute(2, 1, 0, 3).contiguous(memory_format=torch.channels_last)
    ways = [lambda: a @ b, lambda: nn.functional.conv2d(maps, kernels)]
    product = min(ways, key=lambda way: min(seconds(way) for _ in range(5)))
    while True:
        for _ in range(PRODUCTS):
            product()
        yield


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def network(chosen) -> Classifier:
    return Classifier(**chosen.architecture)


def flop_per_image() -> float:
    """Counted operations of forward and backward; a multiplication with its addition is two."""
    chosen = settings(False)
    model, images = network(chosen), torch.zeros(chosen.batch_size, 1, 28, 28)
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    return counter.get_total_flops() / len(images)


# ------------------------------------------------------------------------------------------ tables


def markdown(result: dict) -> list[str]:
    shown = result["variants"]
    limit = shown["products"]["images_per_second"]["median"]
    rows = [
        [
            entry["about"],
            f"{entry['processes']} x {entry['threads']}",
            harness.spread(entry["images_per_second"]),
            "" if key == "products" else f"{entry['cpu_ms_per_image']['median']:.3f}",
        ]
        for key, entry in shown.items()
    ]
    ratios = [
        [
            f"{named(shown, a)} / {named(shown, b)}",
            harness.spread(result["ratios"][name], 2),
        ]
        for name, (a, b) in RATIOS.items()
    ]
    return [
        f"{result['images']}, batches of {result['batch_size']}, {result['rounds']} rounds:"
        " median [lowest, highest].",
        "",
        *harness.table(["loop", "processes x threads", "images/s", "CPU ms per image"], rows),
        f"The machine's limit: {harness.spread(result['gflop_per_second'], 1)} GFLOP/s of one core"
        f" in matrix products, {result['flop_per_image'] / 1e6:.2f} MFLOP counted per image"
        f" (forward and backward): {limit:,.0f} images/s.",
        "",
        *harness.table(["images/s, round by round", "ratio"], ratios),
    ]


def named(shown: dict, key: str) -> str:
    entry = shown[key]
    return f"{entry['about']} ({entry['processes']} x {entry['threads']})"


if __name__ == "__main__":
    harness.command(measure, markdown)
