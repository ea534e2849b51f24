"""Train the configurations in sweep/grid.yaml as DVC experiments of run `pneumonia`, and choose one
on the stress set (validation images, changed at random).

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
from pathlib import Path

import dvc.api
from ruamel.yaml import YAML
from safetensors.numpy import load
from tqdm import tqdm

from chestflow import files
from chestflow.commands import cluster
from chestflow.config import reading
from chestflow.errors import UserError
from chestflow.metrics import scores, selection
from chestflow.metrics.intervals import Measured
from chestflow.plots.style import save
from chestflow.plots.sweep import sweep
from chestflow.report import rendering

TARGET = "evaluate@pneumonia"
RESULTS = "data/results/pneumonia"

Changes = dict[str, dict]  # configuration -> the settings that it changes
Trained = dict[str, str]  # configuration -> the Git commit of its experiment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    queue = "experiments at once, by DVC's queue (%(default)s)"
    where.add_argument("--queue", type=int, default=1, help=queue)
    address = "experiments on a Dask cluster: its scheduler's address, tcp://host:8786"
    where.add_argument("--cluster", metavar="ADDRESS", help=address)


def main(options: argparse.Namespace) -> None:
    params = reading.params("params.yaml").model_dump(exclude_unset=True)
    grid = reading.grid("sweep/grid.yaml")
    if cluster.call("git", "rev-parse", "--is-shallow-repository").strip() == "true":
        raise UserError("DVC keeps no experiments in a shallow clone; git fetch --unshallow")
    changes = {name: c.model_dump(exclude_unset=True) for name, c in grid.configurations.items()}
    reference = next(iter(changes))
    trained = train(params, changes, 1, options)
    once = ranked(trained, changes)
    finalists = dict.fromkeys([reference, *(row["name"] for row in once[: grid.best])])
    again = train(params, {name: changes[name] for name in finalists}, grid.trainings, options)
    compared = {name: measured(commit) for name, commit in again.items()}
    report = selection.summarise(once, ranked(again, changes), reference, compared)
    write(Path("sweep"), report | {"steps": params["steps"]})
    if failed := {*changes} - {*trained} | {*finalists} - {*again}:
        raise UserError(f"these configurations failed, see above: {', '.join(sorted(failed))}")


# ------------------------------------------------------------------------------- running


def train(params: dict, changes: Changes, trainings: int, options: argparse.Namespace) -> Trained:
    """Train configurations so many times, those that have not been: one after another, several at
    once in DVC's queue, or on a cluster. One that fails is left out of what is returned.

    Raises UserError if the first one, the reference, fails.
    """
    settings = {n: c | {"trainings": trainings, "timing": True} for n, c in changes.items()}
    todo = missing(params, settings)
    if options.cluster is not None:
        with cluster.connect(options.cluster) as client:
            cluster.run(client, cluster.shared_commit(), todo)
    elif options.queue > 1 and todo:
        for words in todo.values():
            dvc_exp_run("--queue", *words)
        dvc_exp_run("--run-all", "--jobs", str(options.queue))
    else:
        for words in tqdm(todo.values(), desc="sweep", unit="experiment"):
            dvc_exp_run("--temp", *words)
    done = finished(params, settings)
    if (reference := next(iter(settings))) not in done:
        raise UserError(f"{reference}, to which all others are compared, has failed; see above")
    return done


def missing(params: dict, settings: Changes) -> dict[str, list[str]]:
    """Name of the experiment -> arguments of `dvc exp run`, of the configurations to be trained."""
    done, todo = finished(params, settings), {}
    for configuration, values in settings.items():
        name = f"{configuration}-x{values['trainings']}"
        changed = [f"-S{key}={str(value).lower()}" for key, value in values.items()]
        if configuration not in done:
            todo[name] = ["-n", name, *changed, TARGET]
    return todo


def finished(params: dict, settings: Changes) -> Trained:
    """The configurations that have been trained: known by all their parameters, not by name."""
    on_record = recorded()
    return {
        name: commit
        for name, values in settings.items()
        for commit, recorded_params in on_record.items()
        if recorded_params == params | values
    }


def recorded() -> dict[str, dict]:
    """The experiments on the current commit that have finished: their Git commit -> the content of
    params.yaml."""
    head = cluster.call("git", "rev-parse", "HEAD").strip()
    where = f"refs/exps/{head[:2]}/{head[2:]}"  # where DVC keeps them
    commits = cluster.call("git", "for-each-ref", "--format=%(objectname)", where).split()
    texts = {commit: cluster.call("git", "show", f"{commit}:./params.yaml") for commit in commits}
    return {commit: YAML(typ="safe").load(text) for commit, text in texts.items()}


def dvc_exp_run(*words: str) -> None:
    """Run `dvc exp run`; an error is printed, not raised."""
    ended = subprocess.run(["dvc", "exp", "run", *words], capture_output=True, text=True)
    if ended.returncode:
        tqdm.write(f"{' '.join(words)}\n{ended.stdout}{ended.stderr}", file=sys.stderr)


# ------------------------------------------------------------------------------ reporting


def output(commit: str, name: str) -> bytes:
    """A file of an experiment's results, which DVC keeps."""
    return dvc.api.read(f"{RESULTS}/{name}", rev=commit, mode="rb")


def measured(commit: str) -> dict[str, Measured]:
    table = files.columns(output(commit, "predictions.csv").decode())
    stress = load(output(commit, "stress.safetensors"))
    return selection.measured(stress, *scores.predictions(table))


def ranked(trained: Trained, changes: Changes) -> list[dict]:
    """One row per configuration, from what `evaluate` reported; the highest stress AUROC first."""
    reports = {name: json.loads(output(rev, "scores.json")) for name, rev in trained.items()}
    rows = [selection.row(name, changes[name], report) for name, report in reports.items()]
    return sorted(rows, key=lambda row: -row["stress"]["auroc"])


def write(out: Path, report: dict) -> None:
    files.write_json(out / "sweep.json", report)
    (out / "sweep.md").write_text(markdown(report), encoding="utf-8")
    save(sweep(report), out / "sweep.png")
    print(f"\n{markdown(report)}")


def markdown(report: dict) -> str:
    """The two tables: all configurations, trained once, and the best, trained several times."""
    return rendering.rendered(report, Path(__file__).with_name("sweep.md.jinja"))
