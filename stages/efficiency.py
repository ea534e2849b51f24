"""Stage: test AUROC over the number of labels, for every start, over several seeds."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from stages.lib import command, data, figures, model, resampling, runtime, tables, training
from stages.lib.parameters import Params, Start


def efficiency(params: Params, films: Path, init: Path, metrics: Path, curves: Path, plot: Path):
    """Paths of inputs are patterns that hold `{dataset}` and `{init}`."""
    cells = list(plan(params, films, init))
    with ProcessPoolExecutor(n_workers(params), mp_context=get_context("spawn")) as pool:
        bar = tqdm(pool.map(measure, cells), total=len(cells), desc="efficiency", unit="training")
        rows = list(bar)
    tables.write_csv(curves, rows)
    captions = {
        name: data.read_about(command.at(films, dataset=name)).caption()
        for name in params.efficiency.curves
    }
    table = summarise(rows)
    tables.write_json(metrics, {"data": ", ".join(captions.values()), "curves": table})
    figures.save(figures.efficiency(table, captions), plot)
    print(f"efficiency: {len(cells)} trainings on {', '.join(captions.values())}")


def n_workers(params: Params) -> int:
    """One process per core, for no training depends on another; but only one for a GPU."""
    if runtime.prepare(params.threads).type != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@dataclass(frozen=True)
class Cell:
    """One training of the curve."""

    params: Params
    dataset: str
    start: Start
    labels: int | str
    seed: int
    films: Path
    init: Path


def plan(params: Params, films: Path, init: Path) -> Iterator[Cell]:
    grid = params.efficiency
    for dataset, starts in grid.curves.items():
        folder = command.at(films, dataset=dataset)
        for start in starts:
            for labels in grid.labels:
                for seed in range(params.seed, params.seed + grid.seeds):
                    weights = command.at(init, init=start.init)
                    yield Cell(params, dataset, start, labels, seed, folder, weights)


def measure(cell: Cell) -> dict:
    """Train once, choose the epoch on a few validation films, score once on all test films."""
    device = runtime.prepare(cell.params.threads, cell.seed)
    train, val, test = (data.read(cell.films, name) for name in data.SPLITS)
    drawn = data.draw(train.labels, cell.labels, cell.seed, "efficiency.labels")
    enough = max(20, round(len(drawn) * cell.params.efficiency.val_share))
    val_n = enough if enough < len(val) else "all"
    val_drawn = data.draw(val.labels, val_n, cell.seed, "efficiency.val_share")
    shared = cell.params.defaults
    network = model.Classifier(**shared.architecture).to(device)
    model.load_encoder(network, model.read(cell.init)[0])
    settings, steps = schedule(cell, len(drawn))
    films = (training.Films.to(device, s) for s in (train[drawn], val[val_drawn]))
    for _ in training.fit(network, *films, settings, steps, cell.seed):
        pass
    images = torch.from_numpy(test.images).to(device)
    probability = model.probabilities(network.eval(), images)
    return {
        "dataset": cell.dataset,
        "init": cell.start.init,
        "strategy": cell.start.strategy,
        "labels": len(drawn),
        "seed": cell.seed,
        "auroc": float(resampling.auroc(test.labels, probability)[0]),
    }


def schedule(cell: Cell, n: int):
    """Settings and phases such that every start of one or two phases sees as many films."""
    grid, start, shared = cell.params.efficiency, cell.start, cell.params.defaults
    phases = training.phases(
        start.strategy, shared.blocks, grid.lr, start.lr_factor, start.layer_decay
    )
    total = max(4, grid.films // (n * training.passes(n)))
    epochs = max(1, total // 2 * 2 // len(phases))
    changes = {"epochs": epochs, "patience": epochs, "batch_size": grid.batch_size}
    return shared.model_copy(update=changes), phases


def summarise(rows: list[dict]) -> list[dict]:
    """Mean, standard deviation and range over the seeds of each point of each curve."""
    points = {}
    for row in rows:
        key = (row["dataset"], f"{row['init']}, {row['strategy']}", row["labels"])
        points.setdefault(key, []).append(row["auroc"])
    return [
        {
            "dataset": dataset,
            "start": start,
            "labels": labels,
            "seeds": len(values),
            "auroc": float(np.mean(values)),
            "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "lowest": min(values),
            "highest": max(values),
        }
        for (dataset, start, labels), values in points.items()
    ]


if __name__ == "__main__":
    command.run(efficiency)
