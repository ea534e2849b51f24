"""Print mean and standard deviation over the seeds of DVC's experiments, as a Markdown table.

Reads what `dvc exp show --json` records: of the current commit and its experiments, the largest
group that differs in nothing but the parameter `seed`.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

from chestflow.commands import records
from chestflow.core.errors import UserError
from chestflow.wording import spread

SCORES = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: everything is read from DVC's records."""


def main(options: argparse.Namespace) -> None:
    found = records.recorded()
    groups: dict[str, dict] = defaultdict(dict)
    for experiment in found:
        others = {key: v for key, v in experiment.params.items() if key != "seed"}
        groups[json.dumps(others, sort_keys=True)][experiment.params["seed"]] = experiment
    if not found:
        raise UserError("no experiment has finished; run dvc exp run -S seed=1 first")
    group = max(groups.values(), key=len)
    print(f"| run | test images | {' | '.join(SCORES.values())} | majority class | seeds |")
    print("|---" * (len(SCORES) + 4) + "|")
    for path in next(iter(group.values())).metrics:
        # A stage that did not run in an experiment has no scores there.
        scores = [experiment.metrics.get(path, {}) for experiment in group.values()]
        if all("majority_accuracy" in s and "auroc" in s for s in scores):
            cells = " | ".join(spread([s[score] for s in scores]) for score in SCORES)
            run, tested = Path(path).stem, f"{scores[0]['n']:,} of {scores[0]['data']}"
            majority = f"{scores[0]['majority_accuracy']:.3f}"
            print(f"| `{run}` | {tested} | {cells} | {majority} | {len(scores)} |")
    if len(found) > len(group):
        print(f"\n{len(found) - len(group)} experiments with other parameters are not in it.")
