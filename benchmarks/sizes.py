"""What larger images bring: a folder of radiographs packed at four sizes, and a sweep over networks
at each. Validation chooses; test scores stand beside. With --phantom, the same on phantoms, whose
findings have a known outline for GradCAM's maps to meet. `chestflow results` makes tables of both.

It works in a clone of its own, kept in --work, so that the same command goes on where it was broken
off.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import yaml

from benchmarks import harness
from chestflow.commands import sweep
from chestflow.core import tables
from chestflow.network.model import Classifier
from chestflow.sources import archive
from chestflow.training import batching, loop, strategies

GRIDS, OUT = (harness.ROOT / "sweep" / name for name in ("sizes.yaml", "sizes.json"))
KEPT = ("name", "changes", "trainings", "parameters", "n", "val_auroc", "val_loss")
SCORES = ("auroc", "accuracy")  # on test
MAPS = ("empty_maps", "chance", "pointing_hits", "mass_inside", "ci95")  # the first for any images


def measure(folder: Path, groups: str, work: Path, wanted: list[int] | None) -> Iterator[dict]:
    """Size after size, by its name. folder: as `chestflow pack` takes it; groups: as its --groups;
    wanted: sizes in pixels, None for all."""
    for pixels, grid in grids(wanted):
        prepare(work)
        name = f"size{pixels}"
        if not (work / f"data/own/{name}.npz").exists():
            given = (folder.resolve(), "--name", name, "--pixels", pixels, "--groups", groups)
            chestflow(work, "pack", *given)
        size = swept(work, name, pixels, grid, name)
        n = archive.shape_of(work / f"data/own/{name}.npz", "train_images")[0]
        seconds = {
            row["name"]: n * core_seconds_per_image(pixels, row["changes"])
            for row in size["configurations"]
        }
        for row in (*size["configurations"], *size["finalists"]):
            row["core_seconds"] = seconds[row["name"]]
        yield {str(pixels): size}


def measure_phantoms(work: Path, wanted: list[int] | None) -> Iterator[dict]:
    """Likewise, with the phantom of PneumoniaMNIST."""
    for pixels, grid in grids(wanted):
        prepare(work)
        yield {str(pixels): swept(work, "pneumoniamnist", pixels, grid, f"phantom{pixels}")}


def grids(wanted: list[int] | None) -> list[tuple[int, dict]]:
    declared = yaml.safe_load(GRIDS.read_text())
    return [(pixels, grid) for pixels, grid in declared.items() if pixels in (wanted or declared)]


def prepare(work: Path) -> None:
    if not work.exists():
        run("git", "clone", "--quiet", harness.ROOT, work)


def swept(work: Path, dataset: str, pixels: int, grid: dict, name: str) -> dict:
    """The rows of a sweep over a data set of some size; name: of its files in the clone."""
    commit(work, dataset, pixels)
    (work / f"{name}.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    (work / name).mkdir(exist_ok=True)
    chestflow(work, "sweep", "--grid", f"{name}.yaml", "--out", name)
    report = tables.read_json(work / name / "sweep.json")
    rows = {
        kind: [
            {key: row[key] for key in (*KEPT, *SCORES, "ci95")} | {"maps": maps(work, row)}
            for row in report[kind]
        ]
        for kind in ("configurations", "finalists")
    }
    return {"chosen": report["chosen"], **rows}


def maps(work: Path, row: dict) -> dict:
    """What the experiment of a row says of its GradCAM maps."""
    head = run("git", "rev-parse", "HEAD", at=work).strip()
    experiment = f"refs/exps/{head[:2]}/{head[2:]}/{sweep.name(row['name'], row['trainings'])}"
    found = json.loads(run("git", "show", f"{experiment}:metrics/gradcam/pneumonia.json", at=work))
    deleted = {"deletion_difference": found["perturbation"]["deletion_difference"]}
    return deleted | {key: found[key] for key in MAPS if key in found}


def core_seconds_per_image(pixels: int, changes: dict) -> float:
    """Of a whole training, in seconds of one core's time, which other work lengthens less than the
    wall clock's: measured in epochs of noise, the first of which does not count."""
    torch.set_num_threads(1)  # more would count the time that they wait for each other
    run = harness.settings().model_copy(update=changes | {"epochs": 1})
    noise = np.random.default_rng(0).integers(0, 256, (batching.EPOCH, pixels, pixels), np.uint8)
    labels = torch.arange(len(noise)) % 2
    samples = batching.Samples(torch.from_numpy(noise), labels)
    few = batching.Samples(samples.images[:20], labels[:20])
    plan = strategies.phases(run.strategy, run.blocks, run.lr, run.lr_factor, run.layer_decay)

    def epoch() -> float:
        network, begun = Classifier(**run.architecture), time.process_time()
        deque(loop.fit(network, samples, few, run, plan, 0), maxlen=0)
        return time.process_time() - begun

    epochs = changes.get("epochs", harness.settings().epochs)
    return epochs * min(epoch() for _ in range(3)) / len(noise)


def commit(work: Path, dataset: str, pixels: int) -> None:
    """Let run `pneumonia`, and those that are compared with it, be of the packed images: every
    experiment begins from a commit."""
    path = work / "params.yaml"
    params = yaml.safe_load(path.read_text())
    before = params["runs"]["pneumonia"]["dataset"]
    for entry in params["runs"].values():
        entry["dataset"] = dataset if entry["dataset"] == before else entry["dataset"]
    params["pixels"] = pixels
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    run("git", "add", "params.yaml", "datasets.yaml", at=work)
    if run("git", "diff", "--cached", "--name-only", at=work):
        who = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
        run("git", *who, "commit", "--quiet", "-m", dataset, at=work)


def chestflow(work: Path, *words: object) -> None:
    environment = os.environ | {"PYTHONPATH": str(work)}
    command = [sys.executable, "-m", "chestflow", *map(str, words)]
    if code := subprocess.run(command, cwd=work, env=environment).returncode:
        sys.exit(code)  # the command has said why


def run(*words: object, at: Path | None = None) -> str:
    command = [*map(str, words)]
    return subprocess.run(command, cwd=at, check=True, stdout=subprocess.PIPE, text=True).stdout


def record(found: dict, title: str | None) -> dict:
    """What sweep/sizes.json holds, with further sizes; title: what the images are called, None for
    phantoms."""
    before = tables.read_json(OUT) if OUT.exists() else {}
    kind = "phantoms" if title is None else "sizes"
    if title not in (None, before.get("images")):
        before = {key: value for key, value in before.items() if key == "phantoms"}
    sizes = before.get(kind, {}) | found
    sizes = dict(sorted(sizes.items(), key=lambda entry: int(entry[0])))
    named = {} if title is None else {"images": title}
    return before | named | {"machine": harness.machine(), kind: sizes}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.sizes", description=__doc__)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("folder", type=Path, nargs="?", help="as `chestflow pack` takes it")
    given.add_argument("--phantom", action="store_true", help="phantoms in place of a folder")
    parser.add_argument("--groups", help="as `chestflow pack` takes them")
    parser.add_argument("--title", help="what the folder's images are called")
    parser.add_argument("--work", type=Path, required=True, help="folder for the clone")
    parser.add_argument("--pixels", type=int, nargs="+", help="these; others stay as recorded")
    options = parser.parse_args()
    if options.folder and not (options.groups and options.title):
        parser.error("a folder needs --groups and --title")
    for size in (
        measure_phantoms(options.work, options.pixels)
        if options.phantom
        else measure(options.folder, options.groups, options.work, options.pixels)
    ):
        tables.write_json(OUT, record(size, options.title))
        print(f"sizes: {OUT.name} holds {', '.join(size)} pixels", flush=True)
