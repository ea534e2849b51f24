"""What all benchmarks share: taking turns, medians, the images, the machine, the record."""

import argparse
import inspect
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import torch

from chestflow import files
from chestflow.config import reading
from chestflow.config.schema import Params
from chestflow.sources import phantom
from chestflow.training.batches import Samples

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "torchvision", "medmnist", "numpy", "dvc")
ARCHIVE = "pneumoniamnist.npz"
FULL = {"train": 4708, "val": 524, "test": 624}  # images of PneumoniaMNIST
TINY = {"train": 256, "val": 64, "test": 64}  # of a phantom for --quick


def command(measure: Callable[..., dict], markdown: Callable[[dict], list[str]]) -> None:
    """Run one benchmark: measure, print its tables, and record the figures as JSON.

    Every argument of `measure` is a switch. --quick goes through everything at the smallest scale;
    its figures mean nothing and are kept only where --out says so.
    """
    name = Path(measure.__code__.co_filename).stem
    about = sys.modules[measure.__module__].__doc__
    parser = argparse.ArgumentParser(prog=f"benchmarks.{name}", description=about)
    switches = list(inspect.signature(measure).parameters)
    for switch in switches:
        parser.add_argument(f"--{switch}", action="store_true")
    parser.add_argument("--out", type=Path, help=f"folder of {name}.json, by default the record's")
    options = parser.parse_args()
    here = machine()
    print(f"{name}: {described(here)}", flush=True)
    measured = measure(**{switch: getattr(options, switch) for switch in switches})
    result = {"machine": here, "quick": options.quick, **measured}
    print("\n".join(["", *markdown(result)]))
    if out := options.out or (None if options.quick else RESULTS):
        files.write_json(out / f"{name}.json", result)


# --------------------------------------------------------------------------------------- measuring


def take_turns(variants: dict[str, Callable], rounds: int) -> dict[str, list]:
    """Measure every variant once per round, so that whatever else the machine does affects all of
    them; each round begins with another variant."""
    names = list(variants)
    measured: dict[str, list] = {name: [] for name in names}
    for number in range(1, rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            print(f"  round {number}/{rounds}: {name} ...", flush=True)
            measured[name].append(variants[name]())
    return measured


def summary(values: list[float]) -> dict:
    """Median, lowest and highest; the values themselves stay on record."""
    extremes = {"median": median(values), "min": min(values), "max": max(values)}
    return extremes | {"values": list(values)}


def ratio(above: list[float], below: list[float]) -> dict:
    """Ratios round by round: both figures of a round met the same machine."""
    return summary([a / b for a, b in zip(above, below, strict=True)])


# ------------------------------------------------------------------------------------- the images


@contextmanager
def pneumoniamnist(quick: bool) -> Iterator[tuple[Path, str]]:
    """A folder that holds pneumoniamnist.npz, and what the tables call these images.

    The real file if it is in the folder MEDMNIST_MIRROR or in medmnist's cache; otherwise, and with
    --quick, its phantom.
    """
    places = [Path(os.environ.get("MEDMNIST_MIRROR", "")), Path.home() / ".medmnist"]
    real = [folder for folder in places if not quick and (folder / ARCHIVE).exists()]
    if real:
        yield real[0], "PneumoniaMNIST"
        return
    with tempfile.TemporaryDirectory() as name:
        images = phantom.archive("pneumoniamnist", TINY if quick else FULL, seed=0)
        np.savez(Path(name) / ARCHIVE, **images)
        yield Path(name), "PneumoniaMNIST PHANTOM"


def read(folder: Path) -> dict[str, Samples]:
    """The splits of pneumoniamnist.npz, on the CPU."""
    with np.load(folder / ARCHIVE, allow_pickle=False) as file:
        return {
            split: samples(file[f"{split}_images"], file[f"{split}_labels"][:, 0]) for split in FULL
        }


def samples(images: np.ndarray, labels: np.ndarray) -> Samples:
    return Samples(torch.from_numpy(images), torch.from_numpy(labels).long())


def settings() -> Params:
    """Those at the top of params.yaml, which run `pneumonia` uses as they are."""
    return reading.params(ROOT / "params.yaml")


# ----------------------------------------------------------------------------------- the machine


def machine() -> dict:
    """Where the figures come from, without a name or a path of the machine."""
    return {
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "date": date.today().isoformat(),
    }


def described(machine: dict) -> str:
    packages = ", ".join(f"{name} {machine[name]}" for name in PACKAGES)
    return (
        f"{machine['processor']} ({machine['instructions']}), {machine['cores']} cores,"
        f" {machine['memory_gb']} GB, load {machine['load_before']} before it began;"
        f" {machine['system']}, Python {machine['python']}, {packages}; {machine['date']}"
    )


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


# ------------------------------------------------------------------------------------- the tables


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)] + [""]


def median_range(values: dict, digits: int = 0) -> str:
    """Median [lowest, highest] of what `summary` gave."""
    numbers = (f"{values[key]:,.{digits}f}" for key in ("median", "min", "max"))
    return "{} [{}, {}]".format(*numbers)
