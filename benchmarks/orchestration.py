"""What the graph costs beyond its work: start-up of every stage, DVC's own time, unchanged runs.

Everything happens in a copy of the repository with its own Git and DVC, its parameters shrunk so
that a stage is little more than its start. With --graph the default graph is also run from nothing
(about five minutes), to find the share of start-up in the time of its stages.
"""

import os
import re
import shlex
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
    "epochs": 2,
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
RUN = r"(?m)^Running stage '(.+)'"
RESULTS = ("dvc.lock", "metrics/", "plots/", "report/")  # in Git
STAGE = r"python -m (stages\.\w+)"
REPRO = f"python -m chestflow repro --jobs {JOBS}"
SECONDS = r"(?m)^\[\d+/\d+\] \S+: (\d+) s"  # what it prints of each stage
FORCED = ("repro", "--single-item", "--force", "scratch")  # a stage that does next to nothing
# As `chestflow repro` runs a stage: in a process forked from one that has DVC loaded.
FORKED = f"""
import time
from chestflow.commands import repro
with repro.processes(1) as pool:
    pool.submit(repro.dvc, "version").result()
    start = time.perf_counter()
    ended = pool.submit(repro.dvc, *{FORCED}).result()
    print(time.perf_counter() - start)
assert ended.code == 0, ended.said
"""


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
        """Seconds that a command takes, and what it said."""
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

    def forked(self) -> float:
        """Seconds of a stage that does next to nothing, run as `chestflow repro` does."""
        return float(self.time(f"python -c {shlex.quote(FORKED)}")[1])


def measure(quick: bool, graph: bool = False) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        stages = scripts(copy)
        print(f"  the shrunken graph, {sum(stages.values())} stages ...", flush=True)
        target = " scratch" if quick else ""
        copy.shrink()
        first = copy.time("dvc repro scratch" if quick else REPRO)[0]
        rounds = 1 if quick else 3
        imports = harness.alternate(
            {script: lambda s=script: copy.time(f"python -m {s} --help")[0] for script in stages},
            rounds,
            warm=False,
        )
        dvc = harness.alternate(
            {
                "nothing": lambda: copy.time(f"dvc repro{target}")[0],
                "forked": copy.forked,
                "direct": lambda: copy.time(command_of(copy, "scratch"))[0],
            },
            rounds,
            warm=False,
        )
        changed = [] if quick else [change(copy, lr) for lr in (0.003, 0.004)]
    start_up = {script: harness.summary(values) for script, values in imports.items()}
    # Stages differ in number: each counts as often as the graph starts it.
    starts = [start_up[script]["median"] for script, n in stages.items() for _ in range(n)]
    overhead = harness.summary([a - b for a, b in zip(dvc["forked"], dvc["direct"])])
    result = {
        "stages": sum(stages.values()),
        "small_graph_seconds": first,
        "imports": {script: {"stages": stages[script], **start_up[script]} for script in start_up},
        "dvc_per_stage": overhead,
        "nothing_changed": harness.summary(dvc["nothing"]),
        "start_up_seconds": sum(starts) + len(starts) * overhead["median"],
        "import_mean": mean(starts),
        "lr_changed": changed,
        "graph": default_graph() if graph else None,
    }
    share = result["start_up_seconds"] / result["graph"]["stage_seconds"] if graph else None
    result |= {"share": share}
    return {**result, "goals": goals(result)}


def goals(result: dict) -> list[dict]:
    """What a user waits for; seconds, unlike shares, depend on the machine."""
    graph, changed = result["graph"], [entry["seconds"] for entry in result["lr_changed"]]
    measured = {
        "start-up's share of stage time, default graph": (result["share"], 0.2),
        "seconds of the default graph from nothing, two stages at once": (
            graph and graph["seconds"],
            140,
        ),
        "seconds of `dvc repro`, nothing changed": (result["nothing_changed"]["median"], 1),
        "seconds of `dvc repro`, another lr of one run, shrunken parameters": (
            max(changed) if changed else None,
            20.5,
        ),
    }
    return [
        harness.goal(text, value, wanted, at_least=False)
        for text, (value, wanted) in measured.items()
    ]


def scripts(copy: Copy) -> dict[str, int]:
    """The script of each kind of stage, and for how many stages of the graph it is started."""
    names = copy.time("dvc stage list --name-only")[1].split()
    declared = copy.read("dvc.yaml")["stages"]
    found: dict[str, int] = {}
    for name in names:
        stage = declared[name.split("@")[0]]
        cmd = str(stage.get("do", stage)["cmd"])
        for script in re.findall(STAGE, cmd):
            found[script] = found.get(script, 0) + 1
    return found


def shrink(block: dict) -> dict:
    """The parameters with every number that costs time made small, wherever it stands."""
    return {key: _less(key, value) for key, value in block.items()}


def _less(key: str, value):
    if isinstance(value, dict):
        return shrink(value)
    if key == "labels" and isinstance(value, list):
        return [_less(key, value[0])]
    return min(value, SMALL[key]) if key in SMALL and isinstance(value, int | float) else value


def command_of(copy: Copy, stage: str) -> str:
    cmd = copy.read("dvc.lock")["stages"][stage]["cmd"]
    return " && ".join(cmd) if isinstance(cmd, list) else cmd


def change(copy: Copy, lr: float) -> dict:
    """Another rate of one run: `dvc repro`, and then the same commands by hand."""
    print(f"  lr = {lr} ...", flush=True)
    params = copy.read("params.yaml")
    params["runs"]["pneumonia"]["lr"] = lr
    copy.write("params.yaml", params)
    seconds, said = copy.time("dvc repro")
    ran = re.findall(RUN, said)
    by_hand = sum(copy.time(command_of(copy, stage))[0] for stage in ran)
    return {"stages": len(ran), "seconds": seconds, "by_hand": by_hand}


def default_graph() -> dict:
    """The default graph from nothing: its wall time, and the sum over its stages of theirs."""
    print("  the default graph, from nothing ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        seconds, said = Copy(Path(folder)).time(REPRO)
    return {
        "jobs": JOBS,
        "seconds": seconds,
        "stage_seconds": sum(map(int, re.findall(SECONDS, said))),
    }


# ------------------------------------------------------------------------------------------ tables


def markdown(result: dict) -> list[str]:
    imports = [
        [f"`{script}`", str(entry["stages"]), harness.spread(entry, 1)]
        for script, entry in result["imports"].items()
    ]
    rows = [
        ["DVC's own part of one stage", harness.spread(result["dvc_per_stage"], 1)],
        ["`dvc repro`, nothing changed", harness.spread(result["nothing_changed"], 1)],
    ]
    if changed := result["lr_changed"]:
        by_dvc, by_hand = ([entry[key] for entry in changed] for key in ("seconds", "by_hand"))
        more = harness.summary([a - b for a, b in zip(by_dvc, by_hand)])
        n = changed[0]["stages"]
        rows += [
            [
                f"`dvc repro`, another lr of one run: {n} stages",
                harness.spread(harness.summary(by_dvc), 1),
            ],
            ["the same commands without DVC", harness.spread(harness.summary(by_hand), 1)],
            ["difference, round by round", harness.spread(more, 1)],
        ]
    lines = [
        f"{result['stages']} stages, parameters shrunk; seconds: median [lowest, highest].",
        "",
        *harness.table(["start of a script (`--help`)", "stages", "s"], imports),
        *harness.table(["", "s"], rows),
        f"Start-up of all stages, scripts ({result['import_mean']:.1f} s each on average) and DVC:"
        f" {result['start_up_seconds']:.0f} s.",
    ]
    if graph := result["graph"]:
        lines[-1] += (
            f" The default graph took {graph['seconds']:.0f} s with {graph['jobs']} stages at once,"
            f" its stages together {graph['stage_seconds']} s: {result['share']:.1%} start-up"
            f" ({result['start_up_seconds'] / graph['seconds']:.1%} if it were set against the"
            " shorter time of two at once)."
        )
    return [*lines, ""]


if __name__ == "__main__":
    harness.command(measure, markdown)
