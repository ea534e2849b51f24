"""What DVC has on record: parameters and metrics of the current commit and its experiments."""

import json
import subprocess
from dataclasses import dataclass

import dvc.api

from chestflow.errors import UserError


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

    def output(self, path: str) -> str:
        """The text of a file that DVC keeps."""
        return dvc.api.read(path, rev=self.rev, mode="r", encoding="utf-8")

    def _committed(self, path: str) -> bytes:
        shown = subprocess.run(
            ["git", "show", f"{self.rev}:{path}"], capture_output=True, check=True
        )
        return shown.stdout


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
