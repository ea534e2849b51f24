"""Candidates for the record: PneumoniaMNIST at 28 pixels with the default network's parameters.

They are chosen by AUROCs on validation images that are framed and shrunk otherwise than
PneumoniaMNIST does, which needs no test image; `--test` scores a candidate on test, and every one
that was stays on record.
"""

import argparse
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import harness, recut
from benchmarks.recipes import CANDIDATES, Candidate, Data, enlarge, settle, train
from chestflow import augmentation
from chestflow.core import tables
from chestflow.core.errors import UserError
from chestflow.measures import readers
from chestflow.network.inference import probabilities, standardise
from chestflow.network.model import Classifier, n_parameters
from chestflow.parameters import stage
from chestflow.training.batching import Samples

OUT = harness.RESULTS / "record.json"
DRAWS = 6  # of each perturbation of the validation images
PERTURBED = {  # what happens to validation images: as in training, and more than that
    "framed": ("reframe", "sharpen"),
    "framed twice": ("reframe", "reframe", "sharpen", "expose"),
}
SIGNALS = (*PERTURBED, "cut anew")  # the last: from whole radiographs, by `recut`
COLUMNS = ("clean", *SIGNALS)
GOALS = {"auroc": 0.991, "accuracy": 0.946}


# ----------------------------------------------------------------------------------------- scoring


def signal(model: Classifier, data: Data, candidate: Candidate) -> dict[str, float]:
    """AUROC on the validation images as they are, and its mean over draws of each perturbation."""
    val = data.splits["val"]
    found = {"clean": auroc(model, val, candidate)}
    for name in SIGNALS:
        drawn = [auroc(model, otherwise(name, data, draw), candidate) for draw in range(DRAWS)]
        found[name] = float(np.mean(drawn))
    return found


def otherwise(name: str, data: Data, draw: int) -> Samples:
    """The validation images under one signal's perturbation, (N, 28, 28): enlarging follows, as for
    every image."""
    if name not in PERTURBED:
        return recut.recut(data.whole["val"], torch.Generator().manual_seed(100 + draw))
    return perturbed(data.splits["val"], PERTURBED[name], draw)


def perturbed(samples: Samples, steps: Iterable[str], seed: int) -> Samples:
    """The images after steps of augmentation."""
    generator = torch.Generator().manual_seed(seed)
    changed = augmentation.augment(standardise(samples.images), steps, generator)
    shown = changed[:, 0].add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return Samples(shown, samples.labels)


def auroc(model: Classifier, samples: Samples, candidate: Candidate = CANDIDATES["f1"]) -> float:
    probability = asked(model, samples.images, candidate)
    return float(readers.auroc(samples.labels.numpy(), probability[None]).values[0])


def asked(model: Classifier, images: Tensor, candidate: Candidate) -> np.ndarray:
    """(N,) probabilities of disease of (N, 28, 28) uint8 images."""
    shown = enlarge(images, candidate.side)
    if candidate.adapted:
        settle(model, [standardise(shown)])
    return probabilities(model.eval(), shown)


def measure(name: str, seed: int, data: Data, test: bool) -> dict:
    """With `test`, also the probabilities of disease of the test images, in their order."""
    torch.set_num_threads(1)
    candidate, begun = CANDIDATES[name], time.process_time()
    model = train(candidate, data, seed)
    row = {"candidate": name, "seed": seed, "core_seconds": time.process_time() - begun}
    row |= {"parameters": n_parameters(model), **signal(model, data, candidate)}
    if test:
        found = asked(model, data.splits["test"].images, candidate)
        row["test"] = found.round(5).tolist()
    return row


HELD: list[Data] = []  # what a process works on, handed over once


def measure_held(name: str, seed: int, test: bool) -> dict:
    return measure(name, seed, HELD[0], test)


def measured(
    names: list[str], seeds: range, test: bool, radiographs: Path, processes: int
) -> Iterator[tuple[dict, dict]]:
    """A row per candidate and seed, each with what is known of the images."""
    torch.set_num_threads(1)  # with more, processes forked from this one would hang
    with harness.archive(quick=False) as (folder, about):
        splits = harness.read(folder)
    if about.is_phantom:
        raise UserError("genuine images are needed; set MEDMNIST_MIRROR to their folder")
    data = Data(splits, recut.matched(radiographs, splits))
    images = about_images(data)
    tasks = [(name, seed, test) for name in names for seed in seeds]
    with ProcessPoolExecutor(processes, initializer=HELD.append, initargs=(data,)) as pool:
        for each in as_completed([pool.submit(measure_held, *task) for task in tasks]):
            yield each.result(), images


# -------------------------------------------------------------------------------------- the record


def about_images(data: Data) -> dict:
    """The labels of the test images; how many images were found among the whole radiographs; and
    the median share of a radiograph's width that PneumoniaMNIST's square takes, by class."""
    whole = data.whole["train"]
    return {
        "labels": data.splits["test"].labels.tolist(),
        "found": {
            name: [len(found.labels), len(data.splits[name].labels)]
            for name, found in data.whole.items()
        },
        "share": [float(whole.shares[whole.labels == label].median()) for label in (0, 1)],
    }


def on_record(rows: list[dict], images: dict) -> dict:
    """What results/record.json holds."""
    rows = sorted(rows, key=lambda row: (list(CANDIDATES).index(row["candidate"]), row["seed"]))
    chosen = choose(rows)
    tested = [row for row in rows if row["candidate"] == chosen and "test" in row]
    found = scores(tested, images["labels"])
    means = {name: float(measured.values.mean()) for name, measured in found.items()}
    return {
        "machine": harness.machine(),
        "quick": False,
        "images": images,
        "rows": rows,
        "chosen": chosen,
        "goals": [
            harness.goal(f"the record, mean {name}", means.get(name), wanted, at_least=True)
            for name, wanted in GOALS.items()
        ],
    }


def choose(rows: list[dict]) -> str | None:
    """The candidate with the highest mean of the signals, each as the logarithm of 1 - AUROC, over
    the seeds not scored on test. One that lacks a signal takes no part, nor does one that needs the
    images it judges all together: no network can be released of it."""
    means = {}
    for name in (name for name, candidate in CANDIDATES.items() if not candidate.adapted):
        own = [row for row in rows if row["candidate"] == name and "test" not in row]
        if own and all(key in row for row in own for key in SIGNALS):
            means[name] = -np.log([[1 - row[key] for key in SIGNALS] for row in own]).mean()
    return max(means, key=means.__getitem__, default=None)


def scores(rows: list[dict], labels: list[int]) -> dict[str, readers.Measured]:
    """AUROC and accuracy at .5 of rows that were scored on test."""
    if not rows:
        return {}
    truth, probability = np.array(labels), np.array([row["test"] for row in rows])
    decided = readers.decisions(truth, probability > 0.5)
    return {"auroc": readers.auroc(truth, probability), "accuracy": decided["accuracy"]}


# ---------------------------------------------------------------------------------------- the page


def markdown(result: dict) -> list[str]:
    rows, images, labels = result["rows"], result["images"], result["images"]["labels"]
    found = [f"{n:,} of {whole:,} {name}" for name, (n, whole) in images["found"].items()]
    healthy, diseased = (f"{100 * share:.0f} %" for share in images["share"])
    return [
        f"PneumoniaMNIST, {rows[0]['parameters']:,} trainable parameters. AUROC on validation"
        f" images, as they are, and framed or cut in other ways ({DRAWS} draws each; mean ± sd over"
        f" seeds). Chosen: `{result['chosen']}`.",
        "",
        *harness.table(["candidate", "seeds", *COLUMNS, "core seconds"], choosing(rows)),
        f"The {len(labels)} test images, other seeds: mean ± sd, and the 95 % interval for other"
        " trainings and images. Last, the mean probability of all these trainings: an ensemble.",
        "",
        *harness.table(
            ["candidate", "seeds", "AUROC", "accuracy at .5", "core seconds", "ensemble"],
            scoring(rows, labels),
        ),
        *differences(rows, labels),
        f"The whole radiographs of {' and '.join(found)} images were found. PneumoniaMNIST's square"
        f" takes {healthy} of the width of a healthy one, {diseased} with pneumonia (medians).",
        "",
    ]


def by_candidate(rows: list[dict], tested: bool) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for row in rows:
        if ("test" in row) == tested:
            found.setdefault(row["candidate"], []).append(row)
    return found


def choosing(rows: list[dict]) -> list[list[str]]:
    return [
        [f"`{name}`", str(len(own))]
        + [mean_sd([row[key] for row in own if key in row]) for key in COLUMNS]
        + [f"{np.mean([row['core_seconds'] for row in own]):.0f}"]
        for name, own in by_candidate(rows, tested=False).items()
    ]


def scoring(rows: list[dict], labels: list[int]) -> list[list[str]]:
    lines = []
    for name, own in by_candidate(rows, tested=True).items():
        alone = [interval(readers.estimate(found)) for found in scores(own, labels).values()]
        mean = {"test": np.mean([row["test"] for row in own], axis=0).tolist()}
        together = [f"{found.values[0]:.4f}" for found in scores([mean], labels).values()]
        seconds = f"{np.mean([row['core_seconds'] for row in own]):.0f}"
        lines.append([f"`{name}`", str(len(own)), *alone, seconds, " / ".join(together)])
    return lines


def differences(rows: list[dict], labels: list[int]) -> list[str]:
    """Each candidate against the first, where both were trained from the same seeds."""
    tested = by_candidate(rows, tested=True)
    if not tested:
        return []
    seeds = {name: [row["seed"] for row in own] for name, own in tested.items()}
    first, *others = tested
    lines = []
    for name in others:
        if seeds[name] == seeds[first]:
            pair = scores(tested[name], labels), scores(tested[first], labels)
            told = []
            for key in GOALS:
                found = readers.difference(pair[0][key], pair[1][key])
                low, high = found["ci95"]
                told.append(f"{key} {found['difference']:+.4f} [{low:+.4f}, {high:+.4f}]")
            lines += [f"`{name}` minus `{first}`, seeds and images paired: {', '.join(told)}.", ""]
    return lines


def mean_sd(values: list[float]) -> str:
    if len(values) < 2:
        return "".join(f"{value:.4f}" for value in values)
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"


def interval(found: dict) -> str:
    low, high = found["ci95"]
    spread = "" if found["sd"] is None else f" ± {found['sd']:.4f}"
    return f"{found['value']:.4f}{spread} [{low:.3f}, {high:.3f}]"


def main(
    candidates: list[str],
    radiographs: Path,
    seeds: tuple[int, int],
    test: bool,
    processes: int,
    out: Path,
) -> None:
    """Put every result on record as soon as it is there."""
    rows = tables.read_json(out)["rows"] if out.exists() else []
    for row, images in measured(candidates, range(*seeds), test, radiographs, processes):
        print({key: value for key, value in row.items() if key != "test"}, flush=True)
        rows = [other for other in rows if kind(other) != kind(row)] + [row]
        tables.write_json(out, on_record(rows, images))


def kind(row: dict) -> tuple[str, int, bool]:
    """Of which there is one row: a score on test does not replace one that chooses."""
    return row["candidate"], row["seed"], "test" in row


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.record", description=__doc__)
    parser.add_argument("candidates", nargs="+", choices=CANDIDATES, metavar="candidate")
    parser.add_argument("--radiographs", type=Path, required=True, help="Kermany's train folder")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 3), help="first and end")
    parser.add_argument("--test", action="store_true", help="score on test, too")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    with stage.one_line("record"):
        main(**vars(given))
