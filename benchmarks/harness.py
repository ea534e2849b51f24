"""What the parts of the benchmark share: alternating rounds, medians, the machine, the record."""

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
from chestflow.config import reading, schema
from chestflow.config.datasets import Phantom
from chestflow.data import arrays, captions
from chestflow.errors import UserError
from chestflow.sources import download, phantom
from chestflow.training import batches
from stages.configure import settings_of

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "torchvision", "medmnist", "numpy", "dvc")
TINY = Phantom(seed=0, train=256, val=64, test=64)  # images of --quick


def command(measure: Callable[..., dict], markdown: Callable[[dict], list[str]]) -> None:
    """Run one part: measure, print its tables, and put the figures on record as JSON.

    Every argument of `measure` is a switch. --quick goes through everything at the smallest scale;
    its figures mean nothing and are kept only where --out says so.
    """
    part = Path(measure.__code__.co_filename).stem
    about = sys.modules[measure.__module__].__doc__
    parser = argparse.ArgumentParser(prog=f"benchmarks.{part}", description=about)
    switches = list(inspect.signature(measure).parameters)
    for switch in switches:
        parser.add_argument(f"--{switch}", action="store_true")
    parser.add_argument("--out", type=Path, help=f"folder of {part}.json, by default the record's")
    given = parser.parse_args()
    here = machine()
    print(f"{part}: {described(here)}", flush=True)
    measured = measure(**{switch: getattr(given, switch) for switch in switches})
    result = {"machine": here, "quick": given.quick, **measured}
    print("\n".join(["", *markdown(result)]))
    if out := given.out or (None if given.quick else RESULTS):
        files.write_json(out / f"{part}.json", result)


# --------------------------------------------------------------------------------------- measuring


def alternate(variants: dict[str, Callable], rounds: int, *, warm: bool = True) -> dict[str, list]:
    """Measure every variant once per round, so that what else the machine does meets all alike;
    each round begins with another one. With `warm`, a round 0 before them does not count."""
    names, measured = list(variants), {name: [] for name in variants}
    for number in range(0 if warm else 1, rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            print(f"  round {number}/{rounds}: {name} ...", flush=True)
            value = variants[name]()
            if number:
                measured[name].append(value)
    return measured


def summary(values: list[float]) -> dict:
    """Median and spread; the values themselves stay on record."""
    return {
        "median": median(values),
        "min": min(values),
        "max": max(values),
        "values": list(values),
    }


def ratio(above: list[float], below: list[float]) -> dict:
    """Of each round's two figures, for both met the same machine."""
    return summary([a / b for a, b in zip(above, below)])


def goal(text: str, measured: float | None, wanted: float, *, at_least: bool) -> dict:
    """A goal beside its figure; without a figure it is neither reached nor missed."""
    reached = None if measured is None else measured >= wanted if at_least else measured <= wanted
    sign = "≥" if at_least else "≤"
    return {"goal": text, "wanted": f"{sign} {wanted:g}", "measured": measured, "reached": reached}


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


def described(about: dict) -> str:
    packages = ", ".join(f"{name} {about[name]}" for name in PACKAGES)
    return (
        f"{about['processor']} ({about['instructions']}), {about['cores']} cores,"
        f" {about['memory_gb']} GB, load {about['load_before']} before it began;"
        f" {about['system']}, Python {about['python']}, {packages}; {about['date']}"
    )


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.processor() or platform.machine()


# ------------------------------------------------------------------------------------- the images


@contextmanager
def archive(quick: bool) -> Iterator[tuple[Path, captions.About]]:
    """A folder that holds pneumoniamnist.npz as medmnist reads it, while it is needed.

    Genuine where MEDMNIST_MIRROR or medmnist's cache has it; elsewhere, and for a trial, a phantom.
    """
    declared = reading.dataset(ROOT / "datasets.yaml", "pneumoniamnist")
    with tempfile.TemporaryDirectory() as name:
        path, origin = Path(name) / "pneumoniamnist.npz", "phantom"
        try:
            if quick:
                raise UserError("a trial takes no genuine images")
            url, md5 = download.medmnist_file("pneumoniamnist", 28)
            download.fetch(path, download.places(url)[:-1], md5)
            origin = "images"
        except UserError:
            sizes = TINY if quick else declared.phantom
            phantom.write(path, "pneumoniamnist", sizes.sizes(), sizes.seed)
        caption = captions.marked(declared.title, origin)
        yield path.parent, captions.About(caption, ("healthy", declared.positive))


def read(folder: Path) -> dict[str, batches.Samples]:
    """The splits of the archive in `folder`, on the processor."""
    with np.load(folder / "pneumoniamnist.npz", allow_pickle=False) as file:
        splits = {name: arrays.split_of(file, name) for name in arrays.SPLITS}
    return {name: batches.Samples.to(CPU, images) for name, images in splits.items()}


def settings(run: str = "pneumonia") -> schema.Training:
    """The settings that a run has in params.yaml."""
    values = settings_of(reading.params(ROOT / "params.yaml"), run)
    return schema.Training.model_validate(values)


# ------------------------------------------------------------------------------------- the tables


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)] + [""]


def spread(values: dict, digits: int = 0) -> str:
    """Median [lowest, highest] of what `summary` gave."""
    shown = (f"{values[key]:,.{digits}f}" for key in ("median", "min", "max"))
    return "{} [{}, {}]".format(*shown)
