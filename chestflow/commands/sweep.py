"""Train many configurations of run `pneumonia` as DVC experiments, and say which is best.

All that is reported is read back from DVC's records, and only what is not there yet is run: after
an interruption or a failure, the same command goes on.
"""

import argparse
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
from tqdm import tqdm

from chestflow import wording
from chestflow.commands import records
from chestflow.core import tables
from chestflow.core.errors import UserError
from chestflow.figures.style import save
from chestflow.figures.sweep import sweep
from chestflow.measures import selection
from chestflow.parameters import reading
from chestflow.parameters.schema import Params, Settings

TARGET, RECORD = "evaluate@pneumonia", "metrics/runs/pneumonia.json"
SCORES = ("val_auroc", "val_loss", "auroc", "accuracy")  # compared over seeds
TESTED = ("auroc", "accuracy", "balanced_accuracy", "recall", "specificity")  # with intervals

Plan = dict[tuple[str, int], Params]  # (configuration, seed) -> all parameters of its experiment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--queue", type=int, default=1, help="experiments at once, by DVC's queue (%(default)s)")
    add("--params", type=Path, default="params.yaml", help="%(default)s")
    add("--grid", type=Path, default="sweep/grid.yaml", help="the configurations (%(default)s)")
    add("--out", type=Path, default="sweep", help="folder of the results (%(default)s)")


def main(options: argparse.Namespace) -> None:
    workers, params = options.queue, reading.params(options.params)
    if workers < 1:
        raise UserError(f"queue = {workers}; accepted: a whole number from 1")
    declared = reading.grid(options.grid, params)
    names = list(declared.configurations)
    once = plan(params, declared.configurations, names, [params.seed])
    run(once, workers)
    if not (done := finished(once)):
        raise UserError("no configuration has finished; see above")
    table_once = [
        entry(*key, declared.configurations[key[0]], report) for key, report in done.items()
    ]
    table_once = selection.best_first(table_once, params.min_delta)
    finalists = dict.fromkeys([*(row["name"] for row in table_once[: declared.best]), names[0]])
    seeds = range(params.seed, params.seed + declared.seeds)
    repeated = plan(params, declared.configurations, finalists, seeds)
    run(repeated, workers)
    table_seeds = over_seeds(finished(repeated), params.min_delta)
    report = summarise(table_once, table_seeds, names[0], params)
    write(options.out, report)
    print(f"\n{markdown(report)}")
    if failed := [name(*key) for key in missing(once | repeated)]:
        raise UserError(f"these experiments failed, see above: {', '.join(failed)}")


def write(out: Path, report: dict) -> None:
    tables.write_json(out / "sweep.json", report)
    (out / "sweep.md").write_text(markdown(report), encoding="utf-8")
    save(sweep(report), out / "sweep.png")


def plan(params: Params, configurations: dict, names, seeds) -> Plan:
    """Every named configuration with every seed; training is timed."""
    common = {"timing": True}
    return {
        (name, seed): reading.changed(params, configurations[name] | common | {"seed": seed})
        for name, seed in product(names, seeds)
    }


def name(configuration: str, seed: int) -> str:
    """What DVC shall call an experiment."""
    return f"{configuration}-seed-{seed}"


# ------------------------------------------------------------------------------- running


def run(wanted: Plan, workers: int) -> None:
    """Run what is missing, one after another or as many at once as there are workers; a failed
    experiment does not stop the others."""
    todo = missing(wanted)
    arguments = [experiment(*key, wanted[key]) for key in todo]
    if workers == 1:
        for given in tqdm(arguments, desc="sweep", unit="experiment"):
            dvc("--temp", *given)
    elif todo:
        for given in arguments:
            dvc("--queue", *given)
        subprocess.run(["dvc", "exp", "run", "--run-all", "--jobs", str(workers)])


def missing(wanted: Plan) -> list[tuple[str, int]]:
    done = finished(wanted)
    return [key for key in wanted if key not in done]


def finished(wanted: Plan) -> dict[tuple[str, int], dict]:
    """What `evaluate` reported, for every configuration and seed whose experiment DVC has on
    record; found by its parameters, whatever its name."""
    done = [e for e in records.recorded() if "train_seconds" in e.metrics.get(RECORD, {})]
    return {
        key: found.file(RECORD)
        for key, params in wanted.items()
        for found in done
        if found.params == params.model_dump(exclude_unset=True)
    }


def experiment(configuration: str, seed: int, params: Params) -> list[str]:
    """The arguments of `dvc exp run`: all settings, though many are those of params.yaml."""
    values = params.model_dump(include={*Settings.model_fields, "seed", "timing"}, mode="json")
    changes = [f"{key}={str(value).lower()}" for key, value in values.items()]
    return ["-n", name(configuration, seed), *(f"-S{change}" for change in changes), TARGET]


def dvc(*arguments: str) -> None:
    ended = subprocess.run(["dvc", "exp", "run", *arguments], capture_output=True, text=True)
    if ended.returncode:
        tqdm.write(f"{' '.join(arguments)}\n{ended.stdout}{ended.stderr}", file=sys.stderr)


# ------------------------------------------------------------------------------ reporting


def entry(configuration: str, seed: int, changes: dict, report: dict) -> dict:
    """One row of the table of configurations, from what `evaluate` reported."""
    kept = ("data", "n", "parameters", "train_seconds", "val_auroc", "val_loss")
    intervals = {score: report["ci95"][score] for score in TESTED}
    values = {key: report[key] for key in (*kept, *TESTED)}
    return {"name": configuration, "changes": changes, "seed": seed, **values, "ci95": intervals}


def over_seeds(done: dict[tuple[str, int], dict], min_delta: float) -> list[dict]:
    """One row per configuration that was trained on several seeds: its scores as lists; best first
    by their means on validation."""
    rows: dict[str, dict] = {}
    for (configuration, seed), report in done.items():
        row = rows.setdefault(configuration, {"name": configuration, "seeds": []})
        row["seeds"].append(seed)
        for score in SCORES:
            row.setdefault(score, []).append(report[score])
    means = [{"name": row["name"]} | {s: np.mean(row[s]) for s in SCORES} for row in rows.values()]
    return [rows[mean["name"]] for mean in selection.best_first(means, min_delta)]


def summarise(once: list[dict], repeated: list[dict], reference: str, params: Params) -> dict:
    """All that the table, the figure and the report say; `chosen` is the best over the seeds, and
    `differences` are the others' distances from it, paired by seed."""
    chosen, *others = repeated
    return {
        "data": once[0]["data"],
        "n": once[0]["n"],
        "min_delta": params.min_delta,
        "reference": reference,
        "chosen": chosen["name"],
        "configurations": once,
        "seeds": repeated,
        "differences": [
            {"run": chosen["name"], "against": other["name"]}
            | {score: selection.paired_by_seed(chosen[score], other[score]) for score in SCORES}
            for other in others
            if other["seeds"] == chosen["seeds"] and len(chosen["seeds"]) > 1
        ],
    }


def markdown(report: dict) -> str:
    """The two tables: all configurations once, and the best over several seeds."""
    lines = [
        f"Test: {report['n']:,} images of {wording.literal(report['data'])}; best first by"
        f" validation: AUROCs within {report['min_delta']} of the highest count as equal and go by"
        " the loss.",
        "",
        "| configuration | changes | parameters | training | validation AUROC | validation loss"
        " | test AUROC [95 %] | test accuracy [95 %] |",
        "|---" * 8 + "|",
    ]
    for row in report["configurations"]:
        changes = ", ".join(f"{key} {value}" for key, value in row["changes"].items()) or "none"
        cells = [wording.scored(row, score) for score in ("auroc", "accuracy")]
        lines.append(
            f"| {wording.literal(row['name'])} | {changes} | {row['parameters']:,}"
            f" | {row['train_seconds']:.0f} s"
            f" | {row['val_auroc']:.4f} | {row['val_loss']:.4f} | {' | '.join(cells)} |"
        )
    lines += ["", chosen_in_words(report)]
    lines += [
        "",
        "| configuration | seeds | validation AUROC | validation loss | test AUROC | test accuracy"
        f" | {wording.literal(report['chosen'])} - it: test AUROC [95 %] | test accuracy [95 %] |",
        "|---" * 8 + "|",
    ]
    distances = {entry["against"]: entry for entry in report["differences"]}
    for row in report["seeds"]:
        cells = [wording.spread(row[score]) for score in SCORES]
        apart = distances.get(row["name"])
        cells += [lead(apart[s]) if apart else "" for s in ("auroc", "accuracy")]
        cells = [wording.literal(row["name"]), str(len(row["seeds"])), *cells]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def lead(difference: dict) -> str:
    """A difference over the seeds; one whose interval holds 0 is called what it is."""
    low, high = difference["ci95"]
    return wording.change(difference) + (", noise" if low <= 0 <= high else "")


def chosen_in_words(report: dict) -> str:
    chosen = report["seeds"][0]
    n = len(chosen["seeds"])
    if n < 2:
        return f"Chosen: `{chosen['name']}`, trained on one seed alone."
    test = " and ".join(
        f"{score} {wording.with_interval(found['mean'], found['ci95'])}"
        for score, found in (
            ("AUROC", selection.over_seeds(chosen["auroc"])),
            ("accuracy", selection.over_seeds(chosen["accuracy"])),
        )
    )
    return (
        f"Chosen by the mean over {n} seeds on validation: **{wording.literal(chosen['name'])}**,"
        f" with a test {test} (mean over the seeds, 95 % interval of that mean)."
    )
