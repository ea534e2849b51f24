"""What DVC has on record: parameters and metrics of the current commit and its experiments."""

import hashlib
import json
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from chestflow.core.errors import UserError

SETTINGS = "data/settings"  # the folder that stage `configure` writes


@dataclass(frozen=True)
class Experiment:
    """One finished run of the graph, or of a part of it."""

    name: str
    rev: str  # its Git commit
    params: dict  # the whole of params.yaml
    metrics: dict[str, dict]  # path of a metrics file -> its numbers, as DVC lists them

    def file(self, path: str) -> dict:
        """The whole of a metrics file, with the lists that DVC leaves out, such as intervals."""
        return json.loads(self._committed(path))

    def trained(self) -> set[str]:
        """The runs whose scores are of a training with this experiment's own parameters.

        An experiment that went through a part of the graph holds the scores of the other runs as
        well, as it found them. So each run is followed back through dvc.lock, as DVC would: has
        every stage read what the stage before it wrote?
        """
        try:
            lock = yaml.load(self._committed("dvc.lock"), _Loader)["stages"]
        except subprocess.CalledProcessError:
            return set()
        made = _outputs(lock)
        declared = hashlib.md5(self._committed("params.yaml")).hexdigest()

        def is_current(stage: str) -> bool:
            seed = lock[stage].get("params", {}).get("params.yaml", {}).get("seed")
            if seed not in (None, self.params["seed"]):
                return False
            for dep in lock[stage]["deps"]:
                if dep["path"] == "params.yaml" and dep["md5"] != declared:
                    return False
                md5, maker = made.get(dep["path"], (dep["md5"], None))
                if dep["md5"] != md5 or (maker and not is_current(maker)):
                    return False
            return True

        stages = {run: f"evaluate@{run}" for run in self.params["runs"]}
        return {run for run, stage in stages.items() if stage in lock and is_current(stage)}

    def _committed(self, path: str) -> bytes:
        shown = subprocess.run(
            ["git", "show", f"{self.rev}:{path}"], capture_output=True, check=True
        )
        return shown.stdout


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Twenty times as fast where PyYAML has it."""


def _outputs(lock: dict) -> dict[str, tuple[str, str]]:
    """Path of each output -> its hash, and the stage that made it."""
    made = {out["path"]: (out["md5"], name) for name in lock for out in lock[name]["outs"]}
    if SETTINGS in made:  # a training depends on one file of it
        folder, stage = made[SETTINGS]
        listing = _cache() / folder[:2] / folder[2:]
        # Not there in a fresh clone; then the seed alone says what the commit was trained with.
        files = json.loads(listing.read_bytes()) if listing.is_file() else []
        made |= {f"{SETTINGS}/{file['relpath']}": (file["md5"], stage) for file in files}
    return made


@cache
def _cache() -> Path:
    """Where DVC keeps files and the listings of folders, by their hash."""
    shown = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, check=True)
    return Path(shown.stdout.strip(), "files", "md5")


def recorded() -> list[Experiment]:
    """The current commit, if it has results, and every experiment on it that has finished.

    Raises UserError where DVC cannot tell.
    """
    shown = subprocess.run(["dvc", "exp", "show", "--json"], capture_output=True, text=True)
    if shown.returncode:
        raise UserError(
            f"dvc exp show failed: {' '.join(shown.stderr.split())} (after an interrupted queue,"
            " rm -rf .dvc/tmp/exps mends it: finished experiments are in Git and stay)"
        )
    commits = [c for c in json.loads(shown.stdout) if c["rev"] != "workspace"]
    states = commits + [s for c in commits for e in c.get("experiments") or [] for s in e["revs"]]
    return [
        Experiment(
            state["name"] or state["rev"],
            state["rev"],
            state["data"]["params"]["params.yaml"]["data"],
            {path: file.get("data") or {} for path, file in state["data"]["metrics"].items()},
        )
        for state in states
        if state.get("data") and state["data"].get("metrics")
    ]
