"""The graph itself: are its dependencies complete, is dvc.lock current, and does it run?"""

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
FIELDS = ("deps", "outs", "metrics", "plots")
RUNNING = r"(?m)^Running stage '(.+)'"
RESULTS = ("metrics/", "plots/", "report/")  # what Git keeps of the outputs, beside dvc.lock
FOLLOWERS = {"compare", "efficiency", "report"}  # stages over all runs


# --------------------------------------------------------------------------- dvc.yaml, as written


def body(stage: str) -> dict:
    return STAGES[stage].get("do", STAGES[stage])


def names(stage: str, field: str) -> list[str]:
    """The paths under `outs`, `metrics`, ... of a stage, without their options."""
    return [e if isinstance(e, str) else next(iter(e)) for e in body(stage).get(field, [])]


def commands(stage: str) -> str:
    cmd = body(stage)["cmd"]
    return cmd if isinstance(cmd, str) else " ".join(cmd)


def imported(module: Path) -> set[Path]:
    """The modules of this repository that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = (ROOT / f"{name.replace('.', '/')}.py" for name in found if name)
    return {file for file in files if file.is_file()}


def reached(modules: set[Path]) -> set[Path]:
    """The modules and all that they import, directly or not."""
    further = set().union(*map(imported, modules)) - modules
    return reached(modules | further) if further else modules


@pytest.mark.parametrize("stage", STAGES)
def test_a_stages_deps_are_the_modules_it_imports(stage):
    scripts = re.findall(r"python -m (stages\.\w+)", commands(stage))
    start = {ROOT / f"{script.replace('.', '/')}.py" for script in scripts}
    assert start, f"no `python -m stages.x` in the command of {stage}"
    needed = {str(path.relative_to(ROOT)) for path in reached(start)}
    declared = {path for path in names(stage, "deps") if path.endswith(".py")}
    assert sorted(declared) == sorted(needed)


def covers(given: str, declared: str) -> bool:
    """Whether a path handed to a script, a folder or `models/{run}/x`, stands for another."""
    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(given))
    return re.fullmatch(f"{pattern}(/.*)?", declared) is not None


@pytest.mark.parametrize("stage", STAGES)
def test_a_command_names_what_the_stage_declares(stage):
    """A file handed to a script but not declared would go unnoticed, and the other way round."""
    given = set(re.findall(r"--\w+ (\S+)", commands(stage))) - {"params.yaml"}
    declared = {path for field in FIELDS for path in names(stage, field)}
    declared = {path for path in declared if not path.endswith(".py")}
    assert not {path for path in declared if not any(covers(g, path) for g in given)}
    assert not {path for path in given if not any(covers(path, d) for d in declared)}


@pytest.mark.parametrize("stage", [stage for stage in STAGES if "{run}" in commands(stage)])
def test_a_stage_over_all_runs_depends_on_all_runs(stage):
    for given in re.findall(r"--\w+ (\S*\{run\}\S*)", commands(stage)):
        wanted = {given.replace("{run}", run) for run in PARAMS["comparison"]["runs"]}
        assert not wanted - set(names(stage, "deps")), f"add them to the deps of {stage}"


# ------------------------------------------------------------------------------ dvc, in real runs


class Workspace:
    """A copy of the working tree as Git would see it, with a history of its own."""

    def __init__(self, folder: Path, environment: dict[str, str], leave: tuple[str, ...] = ()):
        self.folder, self.environment = folder, environment
        tree = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(tree, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and not name.startswith(leave or ("\0",)):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)

    def run(self, *command: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )

    def succeed(self, *command: str) -> str:
        ended = self.run(*command)
        assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def commit(self) -> None:
        self.succeed("git", "add", "--all")
        self.succeed("git", "commit", "--quiet", "--message", "state")

    def ran(self, *command: str) -> set[str]:
        """The stages that a DVC command runs, or would run."""
        return set(re.findall(RUNNING, self.succeed(*command)))

    def params(self) -> dict:
        return yaml.safe_load((self.folder / "params.yaml").read_text())

    def set_params(self, params: dict) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, environment, shrunken) -> Workspace:
    """The copy with small parameters, without the results, committed."""
    folder = tmp_path_factory.mktemp("workspace")
    space = Workspace(folder, environment, leave=("dvc.lock", *RESULTS))
    space.set_params(shrunken)
    space.succeed("git", "init", "--quiet")
    space.commit()
    return space


@pytest.fixture(scope="module")
def repro(workspace) -> set[str]:
    """The stages that the first run, two at once, went through; its results are committed."""
    said = workspace.succeed("python", "-m", "stages.parallel", "2")
    ran = set(re.findall(r"(?m)^\[\d+/\d+\] (\S+):", said))
    workspace.dirty = workspace.succeed("git", "status", "--porcelain", "-uall").splitlines()
    workspace.commit()
    return ran


def every_stage(space: Workspace) -> set[str]:
    return set(space.succeed("dvc", "stage", "list", "--all", "--name-only").split())


def test_lock_is_current(tmp_path, environment):
    """A clone has dvc.lock and no data: nothing of the graph may have changed since."""
    if not (ROOT / "dvc.lock").exists():
        pytest.fail("run dvc repro and commit dvc.lock")
    clone = Workspace(tmp_path, environment)
    clone.succeed("git", "init", "--quiet")
    ended = clone.run("dvc", "repro", "--dry", "--allow-missing")
    changed = ", ".join(re.findall(RUNNING, ended.stdout))
    assert not changed, f"run dvc repro and commit dvc.lock: {changed} changed"
    assert ended.returncode == 0, ended.stderr


def test_readme_shows_the_sweep_as_it_stands():
    table = (ROOT / "sweep/sweep.md").read_text().strip()
    assert table in (ROOT / "README.md").read_text(), "copy sweep/sweep.md into README.md"


def test_repro_runs_the_whole_graph(workspace, repro):
    assert repro == every_stage(workspace)
    lock = yaml.safe_load(workspace.read("dvc.lock"))["stages"]
    outputs = [out["path"] for stage in lock.values() for out in stage["outs"]]
    missing = [path for path in outputs if not (workspace.folder / path).exists()]
    assert lock.keys() == repro and not missing


def test_git_sees_results_and_no_data(workspace, repro):
    changed = {line[3:] for line in workspace.dirty}
    assert "dvc.lock" in changed and any(name.startswith(RESULTS) for name in changed)
    assert not {name for name in changed if not name.startswith(("dvc.lock", *RESULTS))}
    assert not [name for name in changed if name.endswith((".safetensors", ".npy", ".npz"))]


def test_metrics_files_say_that_films_are_phantoms(workspace, repro):
    files = list((workspace.folder / "metrics").rglob("*.json"))
    assert files
    for file in files:
        assert "PHANTOM" in json.dumps(json.loads(file.read_text()).get("data")), file


def test_metrics_show_lists_every_run(workspace, repro):
    table = workspace.succeed("dvc", "metrics", "show", "--json")
    shown = json.loads(table)[""]["data"]
    for run in workspace.params()["runs"]:
        assert {"accuracy", "auroc", "n"} <= shown[f"metrics/{run}.json"]["data"].keys()


def test_summary_prints_every_run(workspace, repro):
    table = workspace.succeed("python", "-m", "stages.summary", "--metrics", "metrics")
    for run in workspace.params()["runs"]:
        assert re.search(rf"^{run} .*\[.*\].* PHANTOM$", table, re.MULTILINE)


def test_second_repro_runs_nothing(workspace, repro):
    assert workspace.ran("dvc", "repro") == set()
    assert workspace.succeed("python", "-m", "stages.parallel", "2") == ""


def heirs(runs: dict) -> set[str]:
    """The runs that take the top-level settings, and those that start from one of them."""
    found = {name for name, run in runs.items() if run["settings"] == "" and "lr" not in run}
    while more := {name for name, run in runs.items() if run["init"] in found} - found:
        found |= more
    return found


def test_another_rate_runs_only_what_depends_on_it(workspace, repro):
    before = json.loads(workspace.read("metrics/pneumonia.json"))
    ran = workspace.ran("dvc", "exp", "run", "-S", "lr=0.003")
    per_run = [name for name, stage in STAGES.items() if stage.get("foreach") == "${runs}"]
    followers = FOLLOWERS & set(STAGES)
    expected = {f"{stage}@{run}" for stage in per_run for run in heirs(workspace.params()["runs"])}
    assert expected <= ran
    assert {stage for stage in ran if stage.split("@")[0] not in followers} == expected
    diff = json.loads(workspace.succeed("dvc", "metrics", "diff", "--json"))
    change = diff["metrics/pneumonia.json"]
    assert any(values["old"] != values["new"] for values in change.values())
    assert json.loads(workspace.read("metrics/pneumonia.json")) != before
    workspace.succeed("git", "checkout", "--quiet", "--", ".")
    assert json.loads(workspace.read("metrics/pneumonia.json")) == before


def test_seeds_tabulates_the_experiments(workspace, repro):
    """Comes after the experiment above: what DVC has recorded of it is found again."""
    table = workspace.succeed("python", "-m", "stages.seeds")
    for run in workspace.params()["runs"]:
        row = rf"^\| `{run}` \| 40 of \w+ PHANTOM \|.* 1 \|$"
        assert re.search(row, table, re.MULTILINE), table


SWEEP = (
    *("python", "-m", "stages.sweep", "1", "--params", "params.yaml"),
    *("--grid", "sweep/grid.yaml", "--summary", "sweep/sweep.json"),
    *("--table", "sweep/sweep.md", "--plot", "sweep/sweep.png"),
)
GRID = """
best: 1
seeds: 2
configurations:
  plain: {schedule: constant, augment: []}
  narrow: {width: 5}
"""


def test_a_sweep_survives_a_failure_and_then_runs_only_what_is_missing(workspace, repro):
    """The training of width 5 is made to fail, and mended for the second call."""
    train = workspace.read("stages/train.py")
    broken = train.replace("    device = ", "    assert settings.width != 5\n    device = ", 1)
    assert broken != train
    (workspace.folder / "stages/train.py").write_text(broken)
    (workspace.folder / "sweep/grid.yaml").write_text(GRID)
    workspace.commit()
    ended = workspace.run(*SWEEP)
    assert ended.returncode == 1 and ended.stderr.endswith("above: narrow-seed-0\n")
    assert "Traceback" not in ended.stderr.splitlines()[-1]
    names = set(workspace.succeed("dvc", "exp", "list", "--name-only").split())
    assert names == {"plain-seed-0", "plain-seed-1"}
    table = workspace.read("sweep/sweep.md")
    assert "| plain | schedule constant, augment [] | 18,218 |" in table and "narrow" not in table

    grid = GRID.replace("width: 5", "width: 4")
    (workspace.folder / "sweep/grid.yaml").write_text(grid)
    workspace.succeed(*SWEEP)
    names = set(workspace.succeed("dvc", "exp", "list", "--name-only").split())
    assert {"plain-seed-0", "plain-seed-1", "narrow-seed-0"} <= names
    report = json.loads(workspace.read("sweep/sweep.json"))
    assert {row["name"] for row in report["configurations"]} == {"plain", "narrow"}
    for row in report["configurations"]:
        low, high = row["ci95"]["auroc"]
        assert low <= row["auroc"] <= high and row["train_seconds"] > 0
    assert report["reference"] == "plain" and len(report["seeds"][0]["auroc"]) == 2
    times = [row["train_seconds"] for row in report["configurations"]]
    workspace.succeed(*SWEEP)
    again = json.loads(workspace.read("sweep/sweep.json"))["configurations"]
    assert [row["train_seconds"] for row in again] == times  # nothing was trained again
    assert workspace.succeed("git", "status", "--porcelain", "params.yaml") == ""


def test_unknown_parameter_ends_in_one_line(workspace, repro):
    params = workspace.params()
    params["runs"]["pneumonia"]["learning_rate"] = 0.1
    workspace.set_params(params)
    ended = workspace.run("dvc", "repro", "train@pneumonia")
    workspace.succeed("git", "checkout", "--quiet", "--", ".")
    lines = [line for line in ended.stderr.splitlines() if line.startswith("train: ")]
    assert ended.returncode != 0 and "Traceback" not in ended.stderr
    assert len(lines) == 1
    assert "runs.pneumonia.learning_rate is not a parameter; accepted here: " in lines[0]
