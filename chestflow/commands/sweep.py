"""Train many configurations of run `pneumonia` as DVC experiments, and say which is best.

All that is reported is read back from DVC's records, and only what is not there yet is run: after
an interruption or a failure, the same command goes on.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

from chestflow import files, formatting
from chestflow.commands import cluster, experiments, git
from chestflow.config import reading
from chestflow.config.schema import Params, Settings
from chestflow.errors import UserError
from chestflow.metrics import comparison, intervals, scores, selection
from chestflow.plots.style import save
from chestflow.plots.sweep import sweep

TARGET, RECORD = "evaluate@pneumonia", "metrics/runs/pneumonia.json"
PREDICTIONS = "data/results/pneumonia/predictions.csv"
TESTED = ("auroc", "accuracy", "balanced_accuracy", "recall", "specificity")  # with intervals
COMPARED = ("auroc", "accuracy")  # in pairs

Plan = dict[tuple[str, int], Params]  # (configuration, trainings) -> parameters of its experiment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    where = parser.add_mutually_exclusive_group()
    queue = "experiments at once, by DVC's queue (%(default)s)"
    where.add_argument("--queue", type=int, default=1, help=queue)
    address = "experiments on a Dask cluster: its scheduler's address, tcp://host:8786"
    where.add_argument("--cluster", metavar="ADDRESS", help=address)
    add("--params", type=Path, default="params.yaml", help="%(default)s")
    add("--grid", type=Path, default="sweep/grid.yaml", help="the configurations (%(default)s)")
    add("--out", type=Path, default="sweep", help="folder of the results (%(default)s)")


def main(options: argparse.Namespace) -> None:
    workers, params = options.queue, reading.params(options.params)
    if workers < 1:
        raise UserError(f"queue = {workers}; accepted: a whole number from 1")
    git.require_git()
    declared = reading.grid(options.grid, params)
    names = list(declared.configurations)
    once = plan(params, declared.configurations, names, 1)
    run(once, workers, options.cluster)
    if not (done := finished(once)):
        raise UserError("no configuration has finished; see above")
    first = ranked(done, declared.configurations, params.min_delta)
    finalists = dict.fromkeys([*(row["name"] for row in first[: declared.best]), names[0]])
    repeated = plan(params, declared.configurations, finalists, declared.trainings)
    run(repeated, workers, options.cluster)
    done_again = finished(repeated)
    again = ranked(done_again, declared.configurations, params.min_delta)
    report = summarise(first, again, differences(again, done_again), names[0], params)
    write(options.out, report)
    print(f"\n{markdown(report)}")
    if failed := [name(*key) for key in missing(once | repeated)]:
        raise UserError(f"these experiments failed, see above: {', '.join(failed)}")


def write(out: Path, report: dict) -> None:
    files.write_json(out / "sweep.json", report)
    (out / "sweep.md").write_text(markdown(report), encoding="utf-8")
    save(sweep(report), out / "sweep.png")


def plan(params: Params, configurations: dict, names, trainings: int) -> Plan:
    """Every named configuration, to be trained so many times; training is timed."""
    common = {"timing": True, "trainings": trainings}
    return {
        (name, trainings): reading.changed(params, configurations[name] | common) for name in names
    }


def name(configuration: str, trainings: int) -> str:
    """What DVC shall call an experiment."""
    return f"{configuration}-x{trainings}"


# ------------------------------------------------------------------------------- running


def run(wanted: Plan, workers: int, address: str | None) -> None:
    """Run what is missing, one after another, as many at once as there are workers, or on a
    cluster; a failed experiment does not stop the others."""
    todo = missing(wanted)
    arguments = [experiment(*key, wanted[key]) for key in todo]
    if address is not None and todo:
        on_cluster(wanted, todo, address)
    elif workers == 1:
        for given in tqdm(arguments, desc="sweep", unit="experiment"):
            dvc("--temp", *given)
    elif todo:
        for given in arguments:
            dvc("--queue", *given)
        subprocess.run(["dvc", "exp", "run", "--run-all", "--jobs", str(workers)])


def on_cluster(wanted: Plan, todo: list[tuple[str, int]], address: str) -> None:
    """The same by the workers of a Dask cluster, but for what they have pushed before.

    Raises UserError where the cluster cannot be used, or a name is taken.
    """
    with cluster.connected(address) as client:
        commit = cluster.shared_commit()
        cluster.pull_finished(commit, [name(*key) for key in todo])
        arguments = {name(*key): experiment(*key, wanted[key]) for key in missing(wanted)}
        if taken := sorted({found.name for found in experiments.recorded()} & set(arguments)):
            remove = f"dvc exp remove {taken[0]}; dvc exp remove --git-remote {cluster.REMOTE}"
            raise UserError(
                f"on record with other parameters: {', '.join(taken)}; rename the configuration or"
                f" remove what is there, as by {remove} {taken[0]}"
            )
        if arguments:
            cluster.run(client, commit, arguments)


def missing(wanted: Plan) -> list[tuple[str, int]]:
    done = finished(wanted)
    return [key for key in wanted if key not in done]


def finished(wanted: Plan) -> dict[tuple[str, int], experiments.Experiment]:
    """The experiments that DVC has on record; found by their parameters, whatever their names."""
    done = [e for e in experiments.recorded() if "train_seconds" in e.metrics.get(RECORD, {})]
    return {
        key: found
        for key, params in wanted.items()
        for found in done
        if found.params == params.model_dump(exclude_unset=True)
    }


def experiment(configuration: str, trainings: int, params: Params) -> list[str]:
    """The arguments of `dvc exp run`: all settings, though many are those of params.yaml."""
    wanted = {*Settings.model_fields, "trainings", "timing"}
    values = params.model_dump(include=wanted, mode="json")
    changes = [f"{key}={str(value).lower()}" for key, value in values.items()]
    return ["-n", name(configuration, trainings), *(f"-S{change}" for change in changes), TARGET]


def dvc(*arguments: str) -> None:
    ended = subprocess.run(["dvc", "exp", "run", *arguments], capture_output=True, text=True)
    if ended.returncode:
        tqdm.write(f"{' '.join(arguments)}\n{ended.stdout}{ended.stderr}", file=sys.stderr)


# ------------------------------------------------------------------------------ reporting


def ranked(
    done: dict[tuple[str, int], experiments.Experiment], configurations: dict, min_delta: float
) -> list[dict]:
    """One row per configuration, from what `evaluate` reported; best first by validation."""
    kept = ("data", "n", "trainings", "parameters", "train_seconds", "val_auroc", "val_loss")
    rows = []
    for (configuration, _), found in done.items():
        report = found.file(RECORD)
        row = {"name": configuration, "changes": configurations[configuration]}
        row |= {key: report[key] for key in (*kept, *TESTED)}
        row |= {k: {s: report[k].get(s) for s in TESTED} for k in ("ci95", "sd", "each")}
        rows.append(row)
    return selection.best_first(rows, min_delta)


def differences(
    rows: list[dict], done: dict[tuple[str, int], experiments.Experiment]
) -> list[dict]:
    """The best row's distance from each of the others, on the same test images and seeds."""
    if len(rows) < 2:
        return []
    measured = {key[0]: tested(found.output(PREDICTIONS)) for key, found in done.items()}
    best, *others = (row["name"] for row in rows)
    found = [
        {"run": best, "against": other}
        | {s: comparison.paired_difference(measured[best][s], measured[other][s]) for s in COMPARED}
        for other in others
    ]
    together = [entry[score] for entry in found for score in COMPARED]
    for entry, p in zip(together, comparison.holm([entry["p"] for entry in together])):
        entry["p_holm"] = p
    return found


def tested(predictions: str) -> dict[str, intervals.Measured]:
    labels, probability = scores.predictions(files.columns(predictions))
    found = intervals.decisions(labels, probability >= 0.5)
    return found | {"auroc": intervals.auroc(labels, probability)}


def summarise(
    once: list[dict], repeated: list[dict], found: list[dict], reference: str, params: Params
) -> dict:
    """All that the table, the figure and the report say; `chosen` is the best of those that were
    trained several times, and `differences` are its distances from the others."""
    return {
        "data": once[0]["data"],
        "n": once[0]["n"],
        "min_delta": params.min_delta,
        "reference": reference,
        "chosen": repeated[0]["name"],
        "configurations": once,
        "finalists": repeated,
        "differences": found,
    }


def markdown(report: dict) -> str:
    """The two tables: all configurations, trained once, and the best, trained several times."""
    lines = [
        f"Test: {report['n']:,} images of {formatting.literal(report['data'])}; best first by"
        f" validation: AUROCs within {report['min_delta']} of the highest count as equal and go by"
        " the loss.",
        "",
        "| configuration | changes | parameters | training | validation AUROC | validation loss"
        " | test AUROC [95 %] | test accuracy [95 %] |",
        "|---" * 8 + "|",
    ]
    for row in report["configurations"]:
        changes = ", ".join(f"{key} {value}" for key, value in row["changes"].items()) or "none"
        cells = [formatting.scored(row, score) for score in COMPARED]
        lines.append(
            f"| {formatting.literal(row['name'])} | {changes} | {row['parameters']:,}"
            f" | {row['train_seconds']:.0f} s"
            f" | {row['val_auroc']:.4f} | {row['val_loss']:.4f} | {' | '.join(cells)} |"
        )
    best = formatting.literal(report["chosen"])
    lines += [
        "",
        f"Chosen on validation: **{best}**. 95 % intervals for images and trainings; p after Holm.",
        "",
        "| configuration | trainings | validation AUROC | validation loss | test AUROC"
        f" | test accuracy | {best} - it: test AUROC | p | test accuracy | p |",
        "|---" * 10 + "|",
    ]
    distances = {entry["against"]: entry for entry in report["differences"]}
    for row in report["finalists"]:
        cells = [formatting.number(row[score], 4) for score in ("val_auroc", "val_loss")]
        cells += [formatting.scored(row, score) for score in COMPARED]
        for score in COMPARED:
            found = distances.get(row["name"], {}).get(score)
            cells += (
                [formatting.change(found), formatting.number(found["p_holm"])]
                if found
                else ["", ""]
            )
        cells = [formatting.literal(row["name"]), str(row["trainings"]), *cells]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
