"""What the graph costs beyond its work: start-up of the scripts, DVC's own time, unchanged runs.

Everything happens in a copy of the repository with its own Git and DVC, its parameters shrunk so
that a stage is little more than its start. With --graph the default graph is also run from nothing
(ten to thirty minutes), to find the share of start-up in the time of its stages.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

import yaml

from benchmarks import harness

JOBS = 2
SMALL = {  # highest value of each key that costs time
    "steps": 4,
    "few_steps": 2,
    "patience": 2,
    "perplexity": 5.0,
    "neighbours": 5,
    "trainings": 1,
    "images": 200,
    "labels": 40,
    "val_labels": 30,
    "train": 60,
    "val": 40,
    "test": 40,
}
RAN = r"(?m)^Running stage '(.+)'"
RESULTS = ("dvc.lock", "metrics/", "plots/", "report/")  # in Git
SCRIPT = r"python -m (stages\.\w+)"
REPRO = f"python -m chestflow.cli repro --jobs {JOBS}"
SECONDS = r"(?m)^\[\d+/\d+\] \S+: (\d+) s"  # what it prints of each stage
RATES = (0.003, 0.004, 0.005)  # learning rates to change to


class Copy:
    """The working tree as Git sees it, in another folder, without results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        identity = {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "benchmark"), ("EMAIL", "benchmark@localhost"))
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = os.environ | identity | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
        tree = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(tree, cwd=harness.ROOT, capture_output=True, text=True, check=True)
        for name in filter(None, listed.stdout.split("\0")):
            kept = not name.startswith(RESULTS)
            if kept and (harness.ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(harness.ROOT / name, folder / name)
        self.time("git init --quiet && git add --all && git commit --quiet --message start")

    def time(self, command: str) -> tuple[float, str]:
        """Seconds that a command takes, and what it printed."""
        start = time.perf_counter()
        ended = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - start
        if ended.returncode:
            sys.exit(f"orchestration: {command} failed\n{ended.stdout}{ended.stderr}")
        return seconds, ended.stdout

    def read(self, name: str) -> dict:
        return yaml.safe_load((self.folder / name).read_text())

    def write(self, name: str, content: dict) -> None:
        (self.folder / name).write_text(yaml.safe_dump(content, sort_keys=False))

    def shrink(self) -> None:
        """Make small what costs time in both parameter files."""
        for name in ("params.yaml", "datasets.yaml"):
            self.write(name, shrink(self.read(name)))


def shrink(block: dict) -> dict:
    """The parameters with every number that costs time made small, wherever it stands."""
    return {key: _less(key, value) for key, value in block.items()}


def _less(key: str, value):
    if isinstance(value, dict):
        return shrink(value)
    if key == "labels" and isinstance(value, list):
        return [_less(key, value[0])]
    return min(value, SMALL[key]) if key in SMALL and isinstance(value, int | float) else value


# --------------------------------------------------------------------------------------- measuring


def measure(quick: bool, graph: bool = False) -> dict:
    """With `quick`, `configure` stands for the whole graph."""
    target = " configure" if quick else ""
    rounds = 1 if quick else len(RATES)
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        copy.shrink()
        scripts = scripts_of(copy)
        print(f"  the shrunken graph, {sum(scripts.values())} stages ...", flush=True)
        copy.time(f"dvc repro{target}")
        imports = harness.take_turns(
            {script: lambda s=script: copy.time(f"python -m {s} --help")[0] for script in scripts},
            rounds,
        )
        unchanged = [copy.time(f"dvc repro{target}")[0] for _ in range(rounds)]
        changed = [change(copy, lr, target) for lr in RATES[:rounds]]
    start_up = {script: harness.summary(seconds) for script, seconds in imports.items()}
    # Stages differ in number: each counts as often as the graph starts it.
    starts = [start_up[script]["median"] for script, n in scripts.items() for _ in range(n)]
    per_stage = harness.summary(
        [(entry["seconds"] - entry["by_hand"]) / entry["stages"] for entry in changed]
    )
    result = {
        "stages": len(starts),
        "imports": {script: {"stages": scripts[script], **start_up[script]} for script in scripts},
        "dvc_per_stage": per_stage,
        "nothing_changed": harness.summary(unchanged),
        "start_up_seconds": sum(starts) + len(starts) * per_stage["median"],
        "import_mean": mean(starts),
        "lr_changed": changed,
        "graph": default_graph() if graph else None,
    }
    share = result["start_up_seconds"] / result["graph"]["stage_seconds"] if graph else None
    return result | {"share": share}


def scripts_of(copy: Copy) -> dict[str, int]:
    """The script of each kind of stage, and how often the graph starts it."""
    declared = copy.read("dvc.yaml")["stages"]
    scripts: dict[str, int] = {}
    for name in copy.time("dvc stage list --name-only")[1].split():
        stage = declared[name.split("@")[0]]
        for script in re.findall(SCRIPT, str(stage.get("do", stage)["cmd"])):
            scripts[script] = scripts.get(script, 0) + 1
    return scripts


def change(copy: Copy, lr: float, target: str) -> dict:
    """Another rate of one run: `dvc repro`, and then the same commands by hand."""
    print(f"  lr = {lr} ...", flush=True)
    params = copy.read("params.yaml")
    params["runs"]["pneumonia"]["lr"] = lr
    copy.write("params.yaml", params)
    seconds, printed = copy.time(f"dvc repro{target}")
    ran = re.findall(RAN, printed)
    commands = copy.read("dvc.lock")["stages"]
    by_hand = sum(copy.time(commands[stage]["cmd"])[0] for stage in ran)
    return {"stages": len(ran), "seconds": seconds, "by_hand": by_hand}


def default_graph() -> dict:
    """The default graph from nothing: its wall time, and the sum over its stages of theirs."""
    print("  the default graph, from nothing ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        seconds, printed = Copy(Path(folder)).time(REPRO)
    stage_seconds = sum(map(int, re.findall(SECONDS, printed)))
    return {"jobs": JOBS, "seconds": seconds, "stage_seconds": stage_seconds}


# ------------------------------------------------------------------------------------------ tables


def markdown(result: dict) -> list[str]:
    imports = [
        [f"`{script}`", str(entry["stages"]), harness.median_range(entry, 1)]
        for script, entry in result["imports"].items()
    ]
    changed = result["lr_changed"]
    by_dvc, by_hand = (
        harness.summary([entry[key] for entry in changed]) for key in ("seconds", "by_hand")
    )
    rows = {
        "`dvc repro`, nothing changed": result["nothing_changed"],
        f"`dvc repro`, another lr of one run ({changed[0]['stages']} of the stages)": by_dvc,
        "the same commands without DVC": by_hand,
        "DVC's own part of one stage": result["dvc_per_stage"],
    }
    lines = [
        f"{result['stages']} stages, parameters shrunk; seconds: median [lowest, highest].",
        "",
        *harness.table(["start of a script (`--help`)", "stages", "s"], imports),
        *harness.table(
            ["", "s"], [[name, harness.median_range(values, 1)] for name, values in rows.items()]
        ),
        f"Start-up of all stages, scripts ({result['import_mean']:.1f} s each on average) and DVC:"
        f" {result['start_up_seconds']:.0f} s.",
    ]
    if graph := result["graph"]:
        lines[-1] += (
            f" The default graph took {graph['seconds']:.0f} s with {graph['jobs']} stages at once,"
            f" its stages together {graph['stage_seconds']} s: {result['share']:.1%} start-up."
        )
    return [*lines, ""]


if __name__ == "__main__":
    harness.command(measure, markdown)
