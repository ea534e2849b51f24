"""Print mean and standard deviation over the seeds of DVC's experiments, as a Markdown table.

Reads what `dvc exp show --json` records of the current commit: every experiment that differs from
the others in nothing but the parameter `seed`.
"""

import json
import subprocess
from collections import defaultdict

import numpy as np

from stages.lib import command
from stages.lib.errors import UserError

SCORES = ("auroc", "balanced_accuracy", "accuracy")


def seeds() -> None:
    found = experiments()
    if not found:
        raise UserError("no experiments on this commit; run dvc exp run -S seed=1 first")
    values = defaultdict(lambda: defaultdict(dict))
    for experiment in found:
        for path, report in experiment["metrics"].items():
            scores = report.get("data") or {}
            if "auroc" in scores and "majority_accuracy" in scores:
                values[path][scores["data"], scores["n"]][experiment["seed"]] = scores
    print("| run | test films | " + " | ".join(s.replace("_", " ") for s in SCORES) + " | seeds |")
    print("|---" * (len(SCORES) + 3) + "|")
    for path, tested in values.items():
        for (name, n), by_seed in tested.items():
            cells = " | ".join(spread([s[score] for s in by_seed.values()]) for score in SCORES)
            run = path.removeprefix("metrics/").removesuffix(".json")
            print(f"| {run} | {n:,} of {name} | {cells} | {len(by_seed)} |")


def spread(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def experiments() -> list[dict]:
    """Seed and metrics of each experiment that finished."""
    shown = subprocess.run(
        ["dvc", "exp", "show", "--json"], capture_output=True, text=True, check=True
    )
    commits = json.loads(shown.stdout)
    states = [s for c in commits for e in c.get("experiments") or [] for s in e["revs"]]
    return [
        {"seed": state["data"]["params"]["params.yaml"]["data"]["seed"], **state["data"]}
        for state in states
        if state.get("data") and not state.get("error")
    ]


if __name__ == "__main__":
    command.run(seeds)
