"""What larger images bring: a folder of radiographs packed at four sizes, and a sweep over networks
at each. Validation chooses; test scores stand beside. `chestflow results` makes a table of them.

It works in a clone of its own, kept in --work, so that the same command goes on where it was broken
off.
"""

import argparse
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
from chestflow.core import tables
from chestflow.network.model import Classifier
from chestflow.sources import archive
from chestflow.training import batching, loop, strategies

GRIDS, OUT = (harness.ROOT / "sweep" / name for name in ("sizes.yaml", "sizes.json"))
KEPT = ("name", "changes", "trainings", "parameters", "n", "val_auroc", "val_loss")
SCORES = ("auroc", "accuracy")  # on test


def measure(folder: Path, groups: str, work: Path, wanted: list[int] | None) -> Iterator[dict]:
    """Size after size, by its name. folder: as `chestflow pack` takes it; groups: as its --groups;
    wanted: sizes in pixels, None for all."""
    if not work.exists():
        run("git", "clone", "--quiet", harness.ROOT, work)
    for pixels, grid in yaml.safe_load(GRIDS.read_text()).items():
        if wanted and pixels not in wanted:
            continue
        name = f"size{pixels}"
        if not (work / f"data/own/{name}.npz").exists():
            given = (folder.resolve(), "--name", name, "--pixels", pixels, "--groups", groups)
            chestflow(work, "pack", *given)
        commit(work, name, pixels)
        (work / f"{name}.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
        (work / name).mkdir(exist_ok=True)
        chestflow(work, "sweep", "--grid", f"{name}.yaml", "--out", name)
        n = archive.shape_of(work / f"data/own/{name}.npz", "train_images")[0]
        size = row_by_row(tables.read_json(work / name / "sweep.json"))
        for row in (*size["configurations"], *size["finalists"]):
            row["core_seconds"] = n * core_seconds_per_image(pixels, row["changes"])
        yield {str(pixels): size}


def row_by_row(report: dict) -> dict:
    rows = {
        kind: [{key: row[key] for key in (*KEPT, *SCORES, "ci95")} for row in report[kind]]
        for kind in ("configurations", "finalists")
    }
    return {"chosen": report["chosen"], **rows}


def core_seconds_per_image(pixels: int, changes: dict) -> float:
    """Of a whole training, in seconds of one core's time, which other work lengthens less than the
    wall clock's: measured in epochs of noise, the first of which does not count."""
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
    if subprocess.run(["git", "diff", "--cached", "--quiet"], cwd=work).returncode:
        who = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
        run("git", *who, "commit", "--quiet", "-m", dataset, at=work)


def chestflow(work: Path, *words: object) -> None:
    environment = os.environ | {"PYTHONPATH": str(work)}
    command = [sys.executable, "-m", "chestflow", *map(str, words)]
    if code := subprocess.run(command, cwd=work, env=environment).returncode:
        sys.exit(code)  # the command has said why


def run(*words: object, at: Path | None = None) -> None:
    subprocess.run([*map(str, words)], cwd=at, check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.sizes", description=__doc__)
    parser.add_argument("folder", type=Path, help="as `chestflow pack` takes it")
    parser.add_argument("--groups", required=True, help="as `chestflow pack` takes them")
    parser.add_argument("--title", required=True, help="what the images are called")
    parser.add_argument("--work", type=Path, required=True, help="folder for the clone")
    parser.add_argument("--pixels", type=int, nargs="+", help="these; others stay as recorded")
    given = parser.parse_args()
    for size in measure(given.folder, given.groups, given.work, given.pixels):
        record = tables.read_json(OUT) if OUT.exists() else {}
        sizes = record.get("sizes", {}) if record.get("images") == given.title else {}
        sizes = dict(sorted((sizes | size).items(), key=lambda entry: int(entry[0])))
        result = {"machine": harness.machine(), "images": given.title, "sizes": sizes}
        tables.write_json(OUT, result)
        print(f"sizes: {OUT.name} holds {', '.join(sizes)} pixels", flush=True)
