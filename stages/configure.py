"""Stage: check all parameters, and write the complete settings of every run.

The stages that train read these files instead of `params.yaml`, so a change of parameters retrains
exactly the runs whose settings it changes.
"""

from pathlib import Path
from typing import Any

from safetensors.numpy import save

from chestflow import files, stage
from chestflow.config import reading
from chestflow.config.schema import Params, Settings, one_of

COMMON = {"seed", "trainings", "threads", "timing"}  # settings that no run can override
FEWEST = 20  # labelled validation images, whatever their share
EARLY_STOPPING, TWO_PHASES = ("patience", "min_delta"), ("lr_factor", "layer_decay")
GRADIENT_DESCENT = ("lr", "schedule", "steps", "batch_size", "weight_decay", "label_smoothing")


def configure(subject: str, params: Path, datasets: Path, scratch: Path, out: Path) -> None:
    """subject: the run that the first sheet, and so the first part of the report, is about."""
    checked = reading.both(params, datasets)
    one_of("run", subject, checked.runs)
    runs = {name: settings_of(checked, name) for name in checked.runs}
    encoder = checked.model_dump(include={"width", "blocks", "contrast"})
    machine = checked.model_dump(include={"seed", "trainings", "threads"})
    pretraining = encoder | machine | checked.autoencoder.model_dump()
    for name, settings in runs.items():
        files.write_exact_json(out / "runs" / f"{name}.json", settings)
        points = {"points": points_of(checked, name)}
        files.write_exact_json(out / "label_efficiency" / f"{name}.json", points)
    files.write_exact_json(out / "autoencoder.json", pretraining)
    # All runs, in their order: for the stages that compare them.
    files.write_exact_json(out / "all.json", {"subject": subject, "runs": runs})
    # Its content never changes: stages that need no settings depend on it to wait for the check.
    files.write_exact_json(out / "checked.json", {"names": "valid", "values": "in range"})
    write_scratch(scratch)
    print(f"configure: {len(runs)} runs, {checked.trainings} trainings each")


def settings_of(params: Params, run: str) -> dict[str, Any]:
    """A run's settings: those at the top level of `params.yaml`, overruled by its own entry."""
    shared = params.model_dump(include=COMMON | set(Settings.model_fields))
    settings = {"name": run, **shared, **params.runs[run].model_dump(exclude_none=True)}
    return settings | dict.fromkeys(unused(settings))


def unused(settings: dict[str, Any]) -> tuple[str, ...]:
    """The settings that a run does not use, which are written as null: no change of them reruns
    it."""
    keys = () if settings["strategy"] == "headfirst" else TWO_PHASES
    if settings["strategy"] == "frozen":
        return (*keys, *EARLY_STOPPING, *GRADIENT_DESCENT, "keep")
    return keys if settings["keep"] == "best" else (*keys, *EARLY_STOPPING)


def points_of(params: Params, run: str) -> list[dict[str, Any]]:
    """The settings of the points of a run's label-efficiency curve, beside the run itself: with
    other numbers of labels, and with its own number for fewer steps."""
    wanted, own = params.label_efficiency, settings_of(params, run)
    if run not in wanted.runs:
        return []
    own["trainings"] = min(own["trainings"], wanted.trainings)
    val = {n: max(FEWEST, round(n * wanted.val_share)) for n in wanted.labels if n != own["labels"]}
    points = [own | {"labels": n, "val_labels": val_n} for n, val_n in val.items()]
    return points if own["steps"] is None else [*points, own | {"steps": wanted.few_steps}]


def write_scratch(folder: Path) -> None:
    """An empty checkpoint, so that a run from scratch starts from a file like any other run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(save({}))


if __name__ == "__main__":
    stage.run(configure)
