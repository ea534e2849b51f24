"""Train configurations of run `pneumonia` as DVC experiments, and choose one on the stress set.

All are trained once and ranked by stress AUROC; the best and the default are trained again, several
times, and the default stays the choice unless another one is significantly better there. Test
scores are shown beside the others, and choose nothing.

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
from safetensors.numpy import load
from tqdm import tqdm

from chestflow import files
from chestflow.commands import cluster, git
from chestflow.config import reading
from chestflow.config.schema import Params, Settings
from chestflow.errors import UserError
from chestflow.metrics import scores, selection
from chestflow.plots.style import save
from chestflow.plots.sweep import sweep
from chestflow.report import rendering

TARGET = "evaluate@pneumonia"
RECORD = "data/results/pneumonia/scores.json"
STRESS = "data/results/pneumonia/stress.safetensors"
PREDICTIONS = "data/results/pneumonia/predictions.csv"

Key = tuple[str, int]  # configuration, trainings


@dataclass(frozen=True)
class Experiment:
    """A finished experiment."""

    name: str
    rev: str  # its Git commit
    params: dict[str, Any]  # the whole of params.yaml

    def output(self, path: str) -> bytes:
        """A file that DVC keeps."""
        return dvc.api.read(path, rev=self.rev, mode="rb")

    def predicted(self) -> selection.Predicted:
        labels, probability = scores.predictions(files.columns(self.output(PREDICTIONS).decode()))
        return selection.Predicted(load(self.output(STRESS)), labels, probability)


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
    planned = plan(params, grid.configurations, names, 1)
    if not (done := run(planned, options)):
        raise UserError("no configuration has finished; see above")
    once = ranked(done, grid.configurations)
    finalists = list(dict.fromkeys([reference, *(row["name"] for row in once[: grid.best])]))
    repeated = plan(params, grid.configurations, finalists, grid.trainings)
    done_again = run(repeated, options)
    if (reference, grid.trainings) not in done_again:
        raise UserError(f"{reference}, to which all others are compared, has failed; see above")
    again = ranked(done_again, grid.configurations)
    predicted = {name: experiment.predicted() for (name, _), experiment in done_again.items()}
    report = selection.summarise(once, again, predicted, reference) | {"steps": params.steps}
    write(Path("sweep"), report)
    print(f"\n{markdown(report)}")
    if failed := [name_of(*key) for key in planned | repeated if key not in done | done_again]:
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
    # Those that wait in the queue, run or have failed are listed with their parameters too.
    ended = [e for e in listed if (e.get("executor") or {}).get("state", "success") == "success"]
    states = [state for experiment in ended for state in experiment["revs"] if state.get("data")]
    return [
        Experiment(state["name"], state["rev"], state["data"]["params"]["params.yaml"]["data"])
        for state in states
    ]


def dvc_exp_run(*arguments: str) -> None:
    """Run `dvc exp run`; an error is printed, not raised."""
    ended = subprocess.run(["dvc", "exp", "run", *arguments], capture_output=True, text=True)
    if ended.returncode:
        tqdm.write(f"{' '.join(arguments)}\n{ended.stdout}{ended.stderr}", file=sys.stderr)


# ------------------------------------------------------------------------------ reporting


def ranked(done: Done, configurations: dict) -> list[dict]:
    """One row per configuration, from what `evaluate` reported; the highest stress AUROC first."""
    reports = {name: json.loads(e.output(RECORD)) for (name, _), e in done.items()}
    rows = [selection.row(name, configurations[name], one) for name, one in reports.items()]
    return sorted(rows, key=lambda row: -row["stress"]["auroc"])


def write(out: Path, report: dict) -> None:
    files.write_json(out / "sweep.json", report)
    (out / "sweep.md").write_text(markdown(report), encoding="utf-8")
    save(sweep(report), out / "sweep.png")


def markdown(report: dict) -> str:
    """The two tables: all configurations, trained once, and the best, trained several times."""
    template = Path(__file__).with_name("sweep.md.jinja")
    return rendering.rendered(report | {"spaces": {}}, template)
