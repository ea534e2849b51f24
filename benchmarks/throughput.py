"""Training images per second: this project's loop, the notebook's, and what bounds both.

Everything trains the same network with the same optimiser at the same batch size, one epoch per
turn; what differs is how images reach it. Turns run in worker processes that live on between them.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch

from benchmarks import harness, loops


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
    flop = loops.flop_per_image()
    rates = {key: [turn["rate"] for turn in turns] for key, turns in measured.items()}
    rates["products"] = [rate / flop for rate in rates["products"]]
    ratios = {name: harness.ratio(rates[a], rates[b]) for name, (a, b) in RATIOS.items()}
    return {
        "images": about.caption,
        "batch_size": loops.settings(False).batch_size,
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
        loops.keep_memory()
    if loop not in STARTED:
        torch.manual_seed(0)
        STARTED[loop] = loops.start(loop, folder)
        next(STARTED[loop][1])
    work, turns = STARTED[loop]
    wall, cpu = time.perf_counter(), time.process_time()
    next(turns)
    return {
        "work": work,
        "seconds": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
    }


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
