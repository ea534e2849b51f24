"""Stage: check all parameters, and write the complete settings of every training.

The stages that train read these files instead of `params.yaml`: a change reruns exactly the
trainings whose settings it reaches, wherever in `params.yaml` it was made.
"""

from pathlib import Path
from typing import Any

from chestflow.core import tables
from chestflow.parameters import reading, stage
from chestflow.parameters.schema import Params, Points, Settings, one_of

COMMON = {"seed", "threads", "processes", "timing"}  # what all trainings take alike


def configure(subject: str, params: Path, datasets: Path, out: Path) -> None:
    """subject: the run that the top-level settings of `params.yaml` belong to."""
    checked, known = reading.params(params), reading.datasets(datasets)
    one_of("run", subject, list(checked.runs))
    for key, dataset in checked.datasets_used.items():
        one_of(f"{params}: {key}", dataset, list(known))
    runs = {name: settings_of(checked, name, subject) for name in checked.runs}
    curves = {name: curve_settings(checked, name) for name in checked.efficiency.curves}
    shape = checked.defaults.model_dump(include={"width", "blocks"})
    machine = checked.model_dump(include={"seed", "threads"})
    pretraining = checked.autoencoder.model_dump() | shape | machine
    for name, settings in runs.items():
        tables.write_exact_json(out / "runs" / f"{name}.json", settings)
    for name, settings in curves.items():
        tables.write_exact_json(out / "curves" / f"{name}.json", settings)
    tables.write_exact_json(out / "autoencoder.json", pretraining)
    # One file keeps the runs in their order, for those that set them side by side.
    everything = {"subject": subject, "runs": runs, "curves": curves, "autoencoder": pretraining}
    tables.write_exact_json(out / "all.json", everything)
    print(f"configure: {len(runs)} runs, {len(curves)} curves")


def settings_of(params: Params, run: str, subject: str) -> dict[str, Any]:
    """A run's settings: the defaults, overruled for the subject by the top level of `params.yaml`,
    and for every run by its own entry."""
    shared = params.defaults.model_dump()
    if run == subject:
        shared |= params.model_dump(include=set(Settings.model_fields))
    own = params.runs[run].model_dump(exclude_none=True)
    return {"name": run, **params.model_dump(include=COMMON), **shared, **own}


def curve_settings(params: Params, curve: str) -> dict[str, Any]:
    """A label-efficiency curve's settings: those of the block `efficiency` take precedence over the
    defaults. How many epochs there are depends on the number of labels: stage `efficiency` decides
    that, and what `defaults` says of it must not count as a change."""
    shared = params.defaults.model_dump() | {"epochs": 1, "patience": 1}
    shared |= params.efficiency.model_dump(include={"lr", "batch_size"})
    shared |= params.model_dump(include=COMMON)
    own = params.efficiency.curves[curve].model_dump(exclude_none=True)
    points = params.efficiency.model_dump(include=set(Points.model_fields))
    return {"name": curve, **shared, **own, "points": points}


if __name__ == "__main__":
    stage.run(configure)
