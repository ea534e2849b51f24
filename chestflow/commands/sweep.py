"""Train many configurations of run `pneumonia` as DVC experiments, and rank them by validation.

Results are read from DVC's experiments, and only missing ones are run: after an interruption or a
failure, start the same command again.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dvc.api
from tqdm import tqdm

from chestflow import files
from chestflow.commands import cluster, git
from chestflow.config import reading
from chestflow.config.schema import Params, Settings
from chestflow.errors import UserError
from chestflow.metrics import comparison, intervals, scores, selection
from chestflow.plots.style import save
from chestflow.plots.sweep import sweep
from chestflow.report import rendering

TARGET, RECORD = "evaluate@pneumonia", "metrics/runs/pneumonia.json"
PREDICTIONS = "data/results/pneumonia/predictions.csv"
TESTED = ("auroc", "accuracy", "balanced_accuracy", "recall", "specificity")  # with intervals
COMPARED = ("auroc", "accuracy")  # in pairs

Key = tuple[str, int]  # configuration, trainings


@dataclass(frozen=True)
class Experiment:
    """A finished experiment."""

    name: str
    rev: str  # its Git commit
    params: dict[str, Any]  # the whole of params.yaml

    def file(self, path: str) -> dict:
        return json.loads(git.git("show", f"{self.rev}:{path}").stdout)

    def output(self, path: str) -> str:
        """The text of a file that DVC keeps."""
        return dvc.api.read(path, rev=self.rev, mode="r", encoding="utf-8")


Plan = dict[Key, Params]  # the parameters of each experiment
Done = dict[Key, Experiment]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    where = parser.add_mutually_exclusive_group()
    queue = "experiments at once, by DVC's queue (%(default)s)"
    where.add_argument("--queue", type=int, default=1, help=queue)
    address = "experiments on a Dask cluster: its scheduler's address, tcp://host:8786"
    where.add_argument("--cluster", metavar="ADDRESS", help=address)
    add("--grid", type=Path, default="sweep/grid.yaml", help="the configurations (%(default)s)")


def main(options: argparse.Namespace) -> None:
    params = reading.params("params.yaml")
    if options.queue < 1:
        raise UserError(f"queue = {options.queue}; accepted: a whole number from 1")
    git.require_git()
    if problem := git.shallow():
        raise UserError(problem)
    grid = reading.grid(options.grid, params)
    reference, *_ = names = list(grid.configurations)
    once = plan(params, grid.configurations, names, 1)
    if not (done := run(once, options)):
        raise UserError("no configuration has finished; see above")
    first = ranked(done, grid.configurations, params.min_delta)
    finalists = list(dict.fromkeys([*(row["name"] for row in first[: grid.best]), reference]))
    repeated = plan(params, grid.configurations, finalists, grid.trainings)
    done_again = run(repeated, options)
    again = ranked(done_again, grid.configurations, params.min_delta)
    report = summarise(first, again, differences(again, done_again), reference, params)
    write(Path("sweep"), report)
    print(f"\n{markdown(report)}")
    if failed := [name_of(*key) for key in once | repeated if key not in done | done_again]:
        raise UserError(f"these experiments failed, see above: {', '.join(failed)}")


def plan(params: Params, configurations: dict, names: list[str], trainings: int) -> Plan:
    """Every named configuration, to be trained so many times; training is timed."""
    common = {"timing": True, "trainings": trainings}
    return {
        (name, trainings): reading.changed(params, configurations[name] | common) for name in names
    }


def name_of(configuration: str, trainings: int) -> str:
    """The name of an experiment."""
    return f"{configuration}-x{trainings}"


# ------------------------------------------------------------------------------- running


def run(planned: Plan, options: argparse.Namespace) -> Done:
    """Run the missing experiments: one after another, several at once in DVC's queue, or on a
    cluster. Returns all that have finished; one that fails does not stop the others."""
    if options.cluster is not None:
        with cluster.connected(options.cluster) as client:
            cluster.run(client, cluster.shared_commit(), missing(planned))
    elif options.queue > 1:
        for arguments in (todo := missing(planned)).values():
            dvc_exp_run("--queue", *arguments)
        if todo:
            dvc_exp_run("--run-all", "--jobs", str(options.queue))
    else:
        for arguments in tqdm(missing(planned).values(), desc="sweep", unit="experiment"):
            dvc_exp_run("--temp", *arguments)
    return finished(planned, recorded())


def missing(planned: Plan) -> dict[str, list[str]]:
    """Name -> arguments of `dvc exp run`, of each experiment that has not finished.

    Raises UserError if a name is taken by an experiment with other parameters.
    """
    on_record = recorded()
    done = finished(planned, on_record)
    todo = {name_of(*key): key for key in planned if key not in done}
    if taken := sorted(todo.keys() & {experiment.name for experiment in on_record}):
        raise UserError(
            f"on record with other parameters: {', '.join(taken)}; rename the configuration, or"
            f" dvc exp remove {taken[0]} (pushed ones: dvc exp remove --git-remote origin)"
        )
    return {name: ["-n", name, *settings(planned[key]), TARGET] for name, key in todo.items()}


def settings(params: Params) -> list[str]:
    """All settings as arguments of `dvc exp run`, including those equal to params.yaml."""
    values = params.model_dump(include={*Settings.model_fields, "trainings", "timing"}, mode="json")
    return [f"-S{key}={str(value).lower()}" for key, value in values.items()]


def finished(planned: Plan, on_record: list[Experiment]) -> Done:
    """The planned experiments that have finished, matched by parameters, not by name."""
    return {
        key: experiment
        for key, params in planned.items()
        for experiment in on_record
        if experiment.params == params.model_dump(exclude_unset=True)
    }


def recorded() -> list[Experiment]:
    """The experiments on the current commit that have finished."""
    shown = subprocess.run(["dvc", "exp", "show", "--json"], capture_output=True, text=True)
    if shown.returncode:
        raise UserError(f"dvc exp show failed: {' '.join(shown.stderr.split())}")
    listed = [e for commit in json.loads(shown.stdout) for e in commit.get("experiments") or []]
    states = [state for experiment in listed for state in experiment["revs"] if state.get("data")]
    return [
        Experiment(state["name"], state["rev"], state["data"]["params"]["params.yaml"]["data"])
        for state in states
        if "train_seconds" in (state["data"]["metrics"].get(RECORD, {}).get("data") or {})
    ]


def dvc_exp_run(*arguments: str) -> None:
    """Run `dvc exp run`; an error is printed, not raised."""
    ended = subprocess.run(["dvc", "exp", "run", *arguments], capture_output=True, text=True)
    if ended.returncode:
        tqdm.write(f"{' '.join(arguments)}\n{ended.stdout}{ended.stderr}", file=sys.stderr)


# ------------------------------------------------------------------------------ reporting


def ranked(done: Done, configurations: dict, min_delta: float) -> list[dict]:
    """One row per configuration, from what `evaluate` reported; best first by validation."""
    plain = ("data", "n", "trainings", "parameters", "train_seconds", "val_auroc", "val_loss")
    rows = []
    for (configuration, _), experiment in done.items():
        report = experiment.file(RECORD)
        row = {"name": configuration, "changes": configurations[configuration]}
        row |= {key: report[key] for key in (*plain, *TESTED)}
        row |= {k: {s: report[k].get(s) for s in TESTED} for k in ("ci95", "sd", "each")}
        rows.append(row)
    return selection.best_first(rows, min_delta)


def differences(rows: list[dict], done: Done) -> list[dict]:
    """Paired differences of the best row from all others, on the same test images and seeds."""
    measured = {key[0]: tested(experiment.output(PREDICTIONS)) for key, experiment in done.items()}
    best, *others = (row["name"] for row in rows)
    entries = [
        {"run": best, "against": other}
        | {s: comparison.paired_difference(measured[best][s], measured[other][s]) for s in COMPARED}
        for other in others
    ]
    tests = [entry[score] for entry in entries for score in COMPARED]
    for test, p in zip(tests, comparison.holm([test["p"] for test in tests])):
        test["p_holm"] = p
    return entries


def tested(predictions: str) -> dict[str, intervals.Measured]:
    labels, probability = scores.predictions(files.columns(predictions))
    measured = intervals.decisions(labels, probability >= 0.5)
    return measured | {"auroc": intervals.auroc(labels, probability)}


def summarise(
    once: list[dict], repeated: list[dict], compared: list[dict], reference: str, params: Params
) -> dict:
    """The content of sweep.json. `chosen` is the best of those that were trained several times, and
    `differences` are its paired differences from the others."""
    return {
        "data": once[0]["data"],
        "n": once[0]["n"],
        "min_delta": params.min_delta,
        "reference": reference,
        "chosen": repeated[0]["name"],
        "configurations": once,
        "finalists": repeated,
        "differences": compared,
    }


def write(out: Path, report: dict) -> None:
    files.write_json(out / "sweep.json", report)
    (out / "sweep.md").write_text(markdown(report), encoding="utf-8")
    save(sweep(report), out / "sweep.png")


def markdown(report: dict) -> str:
    """The two tables: all configurations, trained once, and the best, trained several times."""
    template = Path(__file__).with_name("sweep.md.jinja")
    return rendering.rendered(report | {"spaces": {}}, template)
