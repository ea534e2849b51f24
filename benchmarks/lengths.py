"""How long runs have to train: validation AUROC over the number of epochs. No test image is read.

It trains in the current folder what dvc.lock says that stage `train` trains: the images, and what
runs start from, have to be there already. Results on phantoms and on real images are both kept.
"""

import argparse
import shlex
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import torch
import yaml

from benchmarks import harness
from benchmarks.record import DRAWS, PERTURBED, auroc, perturbed
from chestflow.core import tables
from chestflow.core.errors import UserError
from chestflow.images import arrays
from chestflow.network import checkpoint
from chestflow.parameters import reading, stage
from chestflow.training.batching import Samples
from stages import train

OUT = harness.RESULTS / "lengths.json"
OTHERS = (5, 8, 11, 22, 30)  # epochs, beside those that a run has


def measure(run: str, epochs: int, trainings: int) -> list[dict]:
    """A row per training of a run; `own`: whether that is the run's own number of epochs."""
    torch.set_num_threads(1)
    given = arguments(run)
    images, init = Path(given["--images"]), Path(given["--init"])
    settings = reading.training(Path(given["--settings"]))
    chosen = settings.model_copy(update={"trainings": trainings, "epochs": epochs})
    val = Samples.to(harness.CPU, arrays.read(images, "val"))
    rows, begun = [], time.process_time()
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        deque(train.trainings(chosen, images, init, out, harness.CPU), maxlen=0)
        seconds = (time.process_time() - begun) / trainings
        for k in range(trainings):
            network = checkpoint.load_classifier(checkpoint.training(out, k))
            drawn = [auroc(network, perturbed(val, PERTURBED["framed"], d)) for d in range(DRAWS)]
            scores = {"clean": auroc(network, val), "framed": float(np.mean(drawn))}
            about = {"run": run, "epochs": epochs, "own": epochs == settings.epochs, "training": k}
            rows.append(about | scores | {"core_seconds": seconds})
    return rows


def own_length(run: str) -> int:
    return reading.training(Path(arguments(run)["--settings"])).epochs


def arguments(run: str) -> dict[str, str]:
    """What dvc.lock gives to stage `train` of a run, by the name of each option."""
    locked = yaml.safe_load(Path("dvc.lock").read_text())["stages"][f"train@{run}"]
    words = shlex.split(locked["cmd"])[3:]  # after `python -m stages.train`
    return dict(zip(words[::2], words[1::2]))


def measured(
    runs: list[str], epochs: list[int], trainings: int, processes: int
) -> Iterator[list[dict]]:
    torch.set_num_threads(1)  # with more, processes forked from this one would hang
    tasks = [(run, n, trainings) for run in runs for n in dict.fromkeys([own_length(run), *epochs])]
    with ProcessPoolExecutor(processes) as pool:
        for each in as_completed([pool.submit(measure, *task) for task in tasks]):
            yield each.result()


# ---------------------------------------------------------------------------------------- the rule


def compared(rows: list[dict]) -> list[dict]:
    """A row per run and length: means over its trainings, and the logarithm of 1 - AUROC on framed
    images less that at the run's own length, training by training, with its standard error."""
    found = []
    for run in dict.fromkeys(row["run"] for row in rows):
        of_run = [row for row in rows if row["run"] == run]
        lengths = sorted({row["epochs"] for row in of_run})
        usual = next(row["epochs"] for row in of_run if row["own"])
        at = {length: errors(rows, run, length) for length in lengths}
        for length in lengths:
            trained = [row for row in of_run if row["epochs"] == length]
            means = {
                key: float(np.mean([row[key] for row in trained]))
                for key in ("clean", "framed", "core_seconds")
            }
            worse = at[length] - at[usual]
            about = {"run": run, "epochs": length, "own": length == usual, "n": len(trained)}
            error = float(worse.std(ddof=1) / np.sqrt(len(trained)))
            found.append(about | means | {"worse": float(worse.mean()), "standard_error": error})
    return found


def errors(rows: list[dict], run: str, epochs: int) -> np.ndarray:
    """log(1 - AUROC) on framed images, by training."""
    trained = [row for row in rows if kind(row) == (run, epochs)]
    return np.log([1 - row["framed"] for row in sorted(trained, key=lambda row: row["training"])])


def verdict(row: dict) -> str:
    if row["own"]:
        return "its own length"
    if abs(row["worse"]) <= row["standard_error"]:
        return "no worse"
    return "worse" if row["worse"] > 0 else "better"


# ------------------------------------------------------------------------------------------ tables


def markdown(result: dict) -> list[str]:
    lines = [
        "Validation AUROC over the number of epochs, means; *framed*: on validation images that are"
        f" moved, stretched and sharpened at random, {DRAWS} draws. Change: of log(1 - AUROC) on"
        " framed images, from the same training at the run's own length, ± its standard error; a"
        " length counts as no worse where one error covers the change, which is weak evidence.",
        "",
    ]
    head = ["images", "run", "epochs", "trainings", "clean", "framed", "change", "", "core seconds"]
    cells = [
        [
            images,
            f"`{row['run']}`",
            str(row["epochs"]),
            str(row["n"]),
            f"{row['clean']:.4f}",
            f"{row['framed']:.4f}",
            f"{row['worse']:+.2f} ± {row['standard_error']:.2f}",
            verdict(row),
            f"{row['core_seconds']:.0f}",
        ]
        for images, rows in result["images"].items()
        for row in compared(rows)
    ]
    return [*lines, *harness.table(head, cells)]


def main(runs: list[str], epochs: list[int], trainings: int, processes: int, out: Path) -> None:
    """Put every result on record as soon as it is there."""
    if trainings < 2:
        raise UserError(f"trainings = {trainings}; accepted: 2 or more, for a standard error")
    for rows in measured(runs, epochs, trainings, processes):
        record = tables.read_json(out) if out.exists() else {"images": {}}
        origin = arrays.origin(Path(arguments(rows[0]["run"])["--images"]))
        images = "phantoms" if origin == "phantom" else "real"
        kept = [row for row in record["images"].get(images, []) if kind(row) != kind(rows[0])]
        record["images"][images] = sorted([*kept, *rows], key=kind)
        print(rows, flush=True)
        tables.write_json(out, {"machine": harness.machine(), "quick": False, **record})


def kind(row: dict) -> tuple[str, int]:
    return row["run"], row["epochs"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.lengths", description=__doc__)
    parser.add_argument("runs", nargs="+", help="runs in params.yaml")
    parser.add_argument("--epochs", type=int, nargs="+", default=OTHERS, help="beside their own")
    parser.add_argument("--trainings", type=int, default=3, help="of each (default: 3)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    with stage.one_line("lengths"):
        main(**vars(parser.parse_args()))
