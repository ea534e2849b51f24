"""Stage: check all parameters, and write the complete settings of every training.

The stages that train read these files instead of `params.yaml`: a change reruns exactly the
trainings whose settings it reaches, wherever in `params.yaml` it was made.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from chestflow.core import tables
from chestflow.parameters import reading, stage
from chestflow.parameters.schema import Params, Settings, one_of

COMMON = {"seed", "trainings", "threads", "processes", "timing"}  # what all trainings take alike


def configure(subject: str, params: Path, datasets: Path, out: Path) -> None:
    """subject: the run that the first sheet, and so the first part of the report, is about."""
    checked, known = reading.params(params), reading.datasets(datasets)
    one_of("run", subject, list(checked.runs))
    for key, dataset in checked.datasets_used.items():
        one_of(f"{params}: {key}", dataset, list(known))
    runs = {name: settings_of(checked, name) for name in checked.runs}
    encoder = checked.model_dump(include={"width", "blocks"})
    machine = checked.model_dump(include={"seed", "trainings", "threads"})
    pretraining = encoder | machine | checked.autoencoder.model_dump()
    for name, settings in runs.items():
        tables.write_exact_json(out / "runs" / f"{name}.json", settings)
        tables.write_exact_json(out / "efficiency" / f"{name}.json", points_of(checked, name))
    tables.write_exact_json(out / "autoencoder.json", pretraining)
    # One file keeps the runs in their order, for those that set them side by side.
    everything = {"subject": subject, "runs": runs, "autoencoder": pretraining}
    tables.write_exact_json(out / "all.json", everything)
    # The same whatever the settings are: stages that need none of them wait for the check alone.
    tables.write_exact_json(out / "checked.json", {"names": "valid", "values": "in range"})
    for change in since_commit(params):
        print(f"configure: not as committed: {change}")
    print(f"configure: {len(runs)} runs, {checked.trainings} trainings each")


def settings_of(params: Params, run: str) -> dict[str, Any]:
    """A run's settings: those at the top level of `params.yaml`, overruled by its own entry."""
    shared = params.model_dump(include=COMMON | set(Settings.model_fields))
    return {"name": run, **shared, **params.runs[run].model_dump(exclude_none=True)}


def points_of(params: Params, run: str) -> dict[str, Any]:
    """The numbers of labels that a run is trained with in addition to its own."""
    wanted, own = params.efficiency, settings_of(params, run)["labels"]
    labels = [n for n in wanted.labels if n != own] if run in wanted.runs else []
    return {"labels": labels, "val_share": wanted.val_share}


def since_commit(params: Path) -> list[str]:
    """What differs between the parameters and those of the last commit, or of the commit that an
    experiment started from: an experiment inherits what the one before it has left in the folder.
    """
    start = os.environ.get("DVC_EXP_BASELINE_REV", "HEAD")
    shown = subprocess.run(["git", "show", f"{start}:./{params}"], capture_output=True)
    if shown.returncode:  # no commit yet
        return []
    before, now = (dict(flat(yaml.safe_load(t))) for t in (shown.stdout, params.read_bytes()))
    changed = [key for key in before | now if before.get(key) != now.get(key)]
    return [f"{key}: {before.get(key, 'not set')} -> {now.get(key, 'not set')}" for key in changed]


def flat(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """`runs.chest.epochs` and its value, for every value in nested dicts."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


if __name__ == "__main__":
    stage.run(configure)
