"""Print mean and standard deviation over the seeds of DVC's experiments, as a Markdown table.

Reads what DVC has on record: of the current commit and its experiments, the largest group that
differs in nothing but the parameter `seed`. A run counts the seeds with which it was trained.
"""

import argparse
import json
from collections import defaultdict

from chestflow.commands import records
from chestflow.core.errors import UserError
from chestflow.wording import literal, number, runs, spread

SCORES = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}
UNKNOWN = "± \N{EN DASH}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: everything is read from DVC's records."""


def main(options: argparse.Namespace) -> None:
    found = records.recorded()
    if not found:
        raise UserError("no experiment has finished; run dvc exp run -S seed=1 first")
    group = largest_group(found)
    seeds = {experiment.params["seed"] for experiment in group}
    trained = scores(group)
    print(f"| run | test images | {' | '.join(SCORES.values())} | majority class | seeds |")
    print("|---" * (len(SCORES) + 4) + "|")
    for run, by_seed in trained.items():
        if by_seed:
            print(row(run, list(by_seed.values())))
    if fewer := [run for run, by_seed in trained.items() if len(by_seed) < len(seeds)]:
        listed = ",".join(map(str, sorted(seeds)))
        print(
            f"\nNot trained with every seed: {runs(fewer)}. Without a stage's name, dvc exp run"
            f" --queue -S seed={listed} and dvc exp run --run-all train every run."
        )
    if len(found) > len(group):
        print(f"\n{len(found) - len(group)} experiments with other parameters are not in it.")


def largest_group(found: list[records.Experiment]) -> list[records.Experiment]:
    """Those with the most seeds that differ in no other parameter."""
    groups = defaultdict(list)
    for experiment in found:
        others = {key: v for key, v in experiment.params.items() if key != "seed"}
        groups[json.dumps(others, sort_keys=True)].append(experiment)
    return max(groups.values(), key=lambda group: len({e.params["seed"] for e in group}))


def scores(group: list[records.Experiment]) -> dict[str, dict[int, dict]]:
    """Run -> seed that it was trained with -> its scores on test."""
    found: dict[str, dict[int, dict]] = {run: {} for run in group[0].params["runs"]}
    for experiment in group:
        for run in experiment.trained():
            report = experiment.metrics.get(f"metrics/runs/{run}.json", {})
            if report.keys() >= {*SCORES, "majority_accuracy"}:
                found[run][experiment.params["seed"]] = report
    return found


def row(run: str, scores: list[dict]) -> str:
    """Without a spread where there is one seed."""
    cells = [[report[score] for report in scores] for score in SCORES]
    texts = [spread(cell) if len(cell) > 1 else f"{number(*cell)} {UNKNOWN}" for cell in cells]
    tested = f"{scores[0]['n']:,} of {literal(scores[0]['data'])}"
    majority = number(scores[0]["majority_accuracy"])
    return f"| `{run}` | {tested} | {' | '.join(texts)} | {majority} | {len(scores)} |"
