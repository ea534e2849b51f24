"""The graph itself, run once at the smallest scale, two stages at once: is dvc.lock current, does
it run, and does a change rerun what it must and nothing else?"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workspace import RESULTS, ROOT, RUNNING, Workspace

from benchmarks.orchestration import shrink
from chestflow.models import checkpoint

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def few(params: dict) -> dict:
    """Parameters with a run of every start, each trained twice, and two of them with fewer labels
    too: each kind of stage at least once, in two thirds of the default graph's stages."""
    runs = ("pneumonia", "chest", "lowdata_autoencoder", "frozen")
    questions = (("frozen", "pneumonia"), ("lowdata_autoencoder", "chest"))
    return params | {
        "trainings": 2,
        "runs": {run: params["runs"][run] for run in runs},
        "efficiency": params["efficiency"] | {"runs": ["pneumonia", "frozen"]},
        "comparison": {
            "questions": [{"run": a, "against": b} for a, b in questions],
            "spaces": {"transfer": ["pneumonia", "frozen"]},
        },
    }


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, environment, shrunken) -> Workspace:
    """The copy with small parameters, without the results, committed."""
    folder = tmp_path_factory.mktemp("workspace")
    space = Workspace(folder, environment, leave=("dvc.lock", *RESULTS))
    space.set_params(few(shrunken))
    space.set_params(shrink(yaml.safe_load(space.read("datasets.yaml"))), "datasets.yaml")
    space.succeed("git", "init", "--quiet")
    space.commit()
    return space


@pytest.fixture(scope="module")
def repro(workspace) -> set[str]:
    """The stages that the first run, two at once, went through; its results are committed."""
    said = workspace.succeed(*workspace.chestflow("repro", "--jobs", "2"))
    ran = set(re.findall(r"(?m)^\[\d+/\d+\] (\S+):", said))
    workspace.dirty = workspace.succeed("git", "status", "--porcelain", "-uall").splitlines()
    workspace.commit()
    return ran


def kinds(stages: set[str]) -> set[str]:
    return {stage.split("@")[0] for stage in stages}


# ------------------------------------------------------------------------------ the committed run


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


def test_what_sets_runs_side_by_side_depends_on_every_run(tmp_path, environment):
    """On a new one as well, without an edit of dvc.yaml: or the report would show comparisons made
    before it beside its scores."""
    clone = Workspace(tmp_path, environment)
    clone.succeed("git", "init", "--quiet")
    params = clone.params()
    params["runs"]["new"] = {"dataset": "pneumoniamnist", "init": "chest"}
    params["comparison"]["questions"].append({"run": "new", "against": "frozen"})
    clone.set_params(params)
    dot = clone.succeed("dvc", "dag", "--dot")
    edges = set(re.findall(r'(?m)^"(.+)" -> "(.+)";$', dot))
    readers = ("compare", "overview", "report")
    assert {(f"evaluate@{run}", r) for run in params["runs"] for r in readers} <= edges
    assert {(f"efficiency@{run}", "compare") for run in params["runs"]} <= edges


# -------------------------------------------------------------------------------- the first run


def test_repro_runs_the_whole_graph(workspace, repro):
    lock = yaml.safe_load(workspace.read("dvc.lock"))["stages"]
    assert lock.keys() == workspace.stages() == repro | {"configure"}
    outputs = [out["path"] for stage in lock.values() for out in stage["outs"]]
    assert not [path for path in outputs if not (workspace.folder / path).exists()]


def test_git_sees_results_and_no_data(workspace, repro):
    changed = {line[3:] for line in workspace.dirty}
    assert "dvc.lock" in changed and any(name.startswith(RESULTS) for name in changed)
    assert not {name for name in changed if not name.startswith(("dvc.lock", *RESULTS))}
    assert not [name for name in changed if name.endswith((".safetensors", ".npy", ".npz"))]


def test_metrics_files_say_that_images_are_phantoms(workspace, repro):
    files = list((workspace.folder / "metrics").rglob("*.json"))
    assert files
    for file in files:
        assert "PHANTOM" in json.dumps(json.loads(file.read_text()).get("data")), file


def test_scores_are_means_over_trainings_and_name_the_weights(workspace, repro):
    for run in workspace.params()["runs"]:
        report = json.loads(workspace.read(f"metrics/runs/{run}.json"))
        each, models = report["each"]["auroc"], workspace.folder / "models" / run
        assert report["trainings"] == len(each) == 2 and each[0] != each[1]
        assert report["auroc"] == pytest.approx(sum(each) / 2, abs=1e-6)
        assert report["sd"]["auroc"] == pytest.approx(abs(each[0] - each[1]) / 2**0.5, abs=2e-6)
        assert report["weights"] == checkpoint.digest(models)
        shown = checkpoint.training(models, report["shown"]) / checkpoint.FILE
        assert shown.read_bytes() == (models / checkpoint.FILE).read_bytes()
    for kind in ("latent/pneumonia", "gradcam/pneumonia", "autoencoder"):
        assert json.loads(workspace.read(f"metrics/{kind}.json"))["training"] in (0, 1)
    assert "Each run is trained 2 times" in workspace.read("report/index.md")


def test_a_training_starts_from_the_same_one_of_its_start(workspace, repro):
    """A frozen encoder is still the one that it came as."""
    encoders = {}
    for run in ("chest", "frozen"):
        for k in (0, 1):
            folder = checkpoint.training(workspace.folder / "models" / run, k)
            weights, about = checkpoint.read(folder)
            encoder = {key: v for key, v in weights.items() if key.startswith("encoder.")}
            encoders[run, k] = {key: value.tolist() for key, value in encoder.items()}
            assert (about["run"], about["seed"]) == (run, k)
    for k in (0, 1):
        assert encoders["frozen", k] == encoders["chest", k]
    assert encoders["frozen", 0] != encoders["frozen", 1]


def test_a_training_gives_the_same_bytes_again(workspace, repro, tmp_path):
    """Of a run that starts from another one, and of label efficiency."""
    lock = yaml.safe_load(workspace.read("dvc.lock"))["stages"]
    for stage in ("train@frozen", "efficiency@frozen"):
        out, again = lock[stage]["outs"][0]["path"], tmp_path / stage / "out"
        workspace.succeed(*lock[stage]["cmd"].replace(f"--out {out}", f"--out {again}").split())
        folder = workspace.folder / out
        files = [folder] if folder.is_file() else [p for p in folder.rglob("*") if p.is_file()]
        assert again.exists() and files
        for file in files:
            assert (again / file.relative_to(folder)).read_bytes() == file.read_bytes(), file


def test_label_efficiency_holds_the_runs_and_what_is_trained_besides(workspace, repro):
    points = json.loads(workspace.read("metrics/efficiency.json"))["points"]
    found = {(p["run"], p["is_run"]): p for p in points}
    runs = workspace.params()["runs"]
    assert found.keys() == {(r, True) for r in runs} | {("pneumonia", False), ("frozen", False)}
    for point in points:
        assert point["trainings"] == 2 and point["n"] == 40
    for is_run, labels in ((True, 60), (False, 40)):
        frozen, scratch = (found[run, is_run] for run in ("frozen", "pneumonia"))
        assert frozen["labels"] == scratch["labels"] == labels
        ahead = frozen["auroc"] - scratch["auroc"]
        assert frozen["from_scratch"]["difference"] == pytest.approx(ahead, abs=2e-6)
        assert "from_scratch" not in scratch


def test_metrics_show_lists_every_run(workspace, repro):
    shown = json.loads(workspace.succeed("dvc", "metrics", "show", "--json"))[""]["data"]
    for run in workspace.params()["runs"]:
        assert {"accuracy", "auroc", "n"} <= shown[f"metrics/runs/{run}.json"]["data"].keys()


def test_plots_show_opens_with_a_dozen_panels_that_hold_every_run(workspace, repro):
    panels = json.loads(workspace.succeed("dvc", "plots", "show", "--json"))["data"]
    assert len(panels) == 13
    leading = ["pneumonia: ROC curve", "pneumonia: training", "ROC curves"]
    assert list(panels)[:3] == leading
    for name in leading:  # one line per training, not one that leaps back to the next one's start
        assert panels[name][0]["content"]["encoding"]["detail"]["field"] == "training"
    content = json.dumps(panels["ROC curves"])
    for run in workspace.params()["runs"]:
        assert f'\\"{run}\\"' in content or f'"{run}"' in content, run
    for panel in ("Precision-recall curves", "Reliability", "Training"):
        assert "PneumoniaMNIST PHANTOM" in json.dumps(panels[panel])


def test_a_trained_model_can_be_had_as_an_artifact(workspace, repro, tmp_path):
    """DVC finds an artifact by an annotated tag of its name and version."""
    workspace.succeed("git", "tag", "--annotate", "pneumonia@v0.2.0", "--message", "a version")
    out = tmp_path / "model.safetensors"
    folder = str(workspace.folder)
    workspace.succeed("dvc", "artifacts", "get", folder, "pneumonia", "--out", str(out))
    model = workspace.folder / "models/pneumonia/model.safetensors"
    assert out.read_bytes() == model.read_bytes()


def test_summary_prints_every_run(workspace, repro):
    table = workspace.succeed(*workspace.chestflow("summary"))
    for run in workspace.params()["runs"]:
        assert re.search(rf"^{run} .*\[.*\].* PHANTOM$", table, re.MULTILINE)


def test_second_repro_runs_nothing(workspace, repro):
    assert workspace.ran("dvc", "repro") == set()
    said = workspace.succeed(*workspace.chestflow("repro", "--jobs", "2"))
    n = len(workspace.stages())
    assert said == f"repro: {n} of {n} stages were up to date\n"


CELL_BY_CELL = """
import json
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in json.load(open("walkthrough.ipynb"))["cells"]:
    if cell["cell_type"] == "code":
        shell.run_cell("".join(cell["source"])).raise_error()
        assert not shell.user_ns.get("_exit_code"), cell["source"]
"""


def test_the_walkthrough_runs_from_its_first_cell_to_its_last(workspace, repro, tmp_path):
    """As in Jupyter, which starts a notebook in its folder; but for the installation."""
    installed = workspace.folder / ".venv"
    installed.mkdir()
    for part in Path(sys.prefix).iterdir():  # bin, lib and pyvenv.cfg, by which Python finds lib
        if part.name != "installed":
            (installed / part.name).symlink_to(part)
    (installed / "installed").touch()
    ended = subprocess.run(
        [sys.executable, "-c", CELL_BY_CELL],
        cwd=workspace.folder / "docs",
        env=workspace.environment
        | {"PYTHONPATH": str(workspace.folder), "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    assert "Ran experiment(s): lr-0.003" in said
    assert f"Answers: open {(workspace.folder / 'report/index.html').as_uri()}" in said
    assert re.search(r"auroc +0\.\d+ +0\.\d+ ", said), "the scores before and after"


# --------------------------------------------------------------- what a change would run again


def edit(name: str, old: str, new: str):
    return lambda space: space.replace(name, old, new)


def param(key: str, value, name: str = "params.yaml"):
    def change(space: Workspace) -> None:
        values = yaml.safe_load(space.read(name))
        *path, last = key.split(".")
        block = values
        for part in path:
            block = block[part]
        block[last] = value
        space.set_params(values, name)

    return change


CHANGES = {
    "the colour of the GradCAM maps": (
        edit("chestflow/figures/gradcam.py", '"inferno"', '"magma"'),
        {"draw", "overview"},
    ),
    "the neighbours of the k-NN score": (
        param("latent.neighbours", 4),
        {"configure", "evaluate"},
    ),
    "a new augmentation": (
        edit("chestflow/augmentation.py", "STEPS = {", 'STEPS = {"flip": move, '),
        {"train", "efficiency"},
    ),
    "a new measure": (
        edit("chestflow/measures/scores.py", '        "n": len', '        "twice": 0, "n": len'),
        {"evaluate", "reconstruct", "compare"},
    ),
    "a new check of the parameters": (
        edit("chestflow/parameters/schema.py", "class Block", "CHECKED = True\n\n\nclass Block"),
        set(),
    ),
    "a data set's title": (
        param("datasets.chestmnist.title", "Chests", "datasets.yaml"),
        {"configure", "binarize", "evaluate", "reconstruct"},
    ),
    "a sentence of the report": (
        edit("chestflow/report/template.md.jinja", "How good is it?", "How good?"),
        {"report"},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_runs_what_it_must_and_nothing_else(workspace, repro, change):
    make, expected = CHANGES[change]
    make(workspace)
    would_run = workspace.would_run()
    workspace.restore()
    assert kinds(would_run) == expected


@pytest.mark.parametrize(
    "key, value, runs",
    [
        ("lr", 0.003, {"pneumonia", "chest", "frozen"}),  # lowdata_autoencoder has its own
        ("weight_decay", 0.1, {"pneumonia", "chest", "lowdata_autoencoder", "frozen"}),
        ("trainings", 3, {"pneumonia", "chest", "lowdata_autoencoder", "frozen"}),
        ("runs.frozen.lr", 0.05, {"frozen"}),
        ("autoencoder.lr", 0.02, set()),  # until it has been trained
    ],
)
def test_a_setting_retrains_the_runs_that_take_it(workspace, repro, key, value, runs):
    """`configure` writes every run's settings; DVC then sees which of them are other ones."""
    param(key, value)(workspace)
    workspace.succeed("dvc", "repro", "configure")
    would_run = workspace.would_run()
    workspace.restore()
    for kind in ("train", "efficiency"):
        assert {s for s in would_run if s.startswith(kind)} == {f"{kind}@{run}" for run in runs}
    assert ("pretrain" in would_run) == (key in ("trainings", "autoencoder.lr"))


def test_a_target_runs_only_what_it_needs(workspace, repro):
    """As each experiment of a sweep does: a top-level setting reaches other runs too."""
    param("lr", 0.003)(workspace)
    workspace.succeed("dvc", "repro", "configure")
    would_run = workspace.ran("dvc", "repro", "--dry", "evaluate@pneumonia")
    workspace.restore()
    assert would_run == {"train@pneumonia"}, "and what depends on its weights"


@pytest.mark.parametrize(
    "key, value, runs",
    [
        ("efficiency.runs", ["pneumonia", "frozen", "chest"], {"chest"}),
        ("efficiency.runs", ["pneumonia"], {"frozen"}),
        ("efficiency.labels", [30], {"pneumonia", "frozen"}),
    ],
)
def test_another_point_of_a_curve_trains_nothing_else(workspace, repro, key, value, runs):
    param(key, value)(workspace)
    workspace.succeed("dvc", "repro", "configure")
    would_run = workspace.would_run()
    workspace.restore()
    assert would_run == {f"efficiency@{run}" for run in runs}


def test_another_rate_runs_only_what_depends_on_it(workspace, repro):
    before = json.loads(workspace.read("metrics/runs/frozen.json"))
    ran = workspace.ran("dvc", "exp", "run", "-S", "+runs.frozen.lr=0.05")
    of_run = {f"{stage}@frozen" for stage in ("train", "evaluate", "draw", "efficiency")}
    # Settings that were written before come from DVC's run cache.
    assert ran | {"configure"} == {"configure", *of_run, "compare", "overview", "report"}
    diff = json.loads(workspace.succeed("dvc", "metrics", "diff", "--json"))
    change = diff["metrics/runs/frozen.json"]
    assert any(values["old"] != values["new"] for values in change.values())
    assert json.loads(workspace.read("metrics/runs/frozen.json")) != before
    workspace.restore()
    assert json.loads(workspace.read("metrics/runs/frozen.json")) == before


def test_once_is_enough_for_a_result_and_is_said(workspace, repro):
    """Faster, for a trial: no standard deviation, and intervals for the images alone."""
    param("trainings", 1)(workspace)
    workspace.succeed(*workspace.chestflow("repro", "--jobs", "2"))
    for run in workspace.params()["runs"]:
        report = json.loads(workspace.read(f"metrics/runs/{run}.json"))
        assert report["trainings"] == 1 and set(report["sd"].values()) == {None}
        low, high = report["ci95"]["auroc"]
        assert low <= report["auroc"] == report["each"]["auroc"][0] <= high
        trainings = workspace.folder / "models" / run / "trainings"
        assert [path.name for path in trainings.iterdir()] == ["0"], "none of those before"
    compared = json.loads(workspace.read("metrics/comparison.json"))
    assert {entry["trainings"] for entry in compared["questions"]} == {1}
    text = workspace.read("report/index.md")
    assert "Each run is trained once" in text and "trained 2 times" not in text
    assert not re.search(r"±|\bnan\b|\bNone\b(?! has)", text)
    workspace.restore()


def test_a_start_with_another_contrast_is_said_once(workspace, repro):
    said = {}
    for contrast in ("local", "global"):
        param("runs.frozen.contrast", contrast)(workspace)
        said[contrast] = workspace.succeed("dvc", "repro", "train@frozen", "train@chest")
    workspace.restore()
    line = "train: frozen: the encoder of run chest was trained with contrast = local, this run"
    assert line not in said["local"]
    assert said["global"].count(f"{line} uses global: it has to adapt to other inputs\n") == 1


def test_no_command_runs_with_a_name_that_is_refused(workspace, repro):
    """Names are parts of commands: stage `configure` comes before all that have one."""
    datasets = yaml.safe_load(workspace.read("datasets.yaml"))
    datasets["datasets"] = {"a;touch intruder": datasets["datasets"]["chestmnist"]}
    workspace.set_params(datasets, "datasets.yaml")
    assert "is not a name" in workspace.run("dvc", "repro").stderr
    assert not (workspace.folder / "intruder").exists()
    workspace.restore()


def test_an_entry_in_params_yaml_is_all_that_a_run_needs(workspace, repro):
    """It is trained, evaluated, drawn, compared and reported; taken out again, its files stay and
    are not read."""
    params = workspace.params()
    params["runs"]["gradual"] = {
        "dataset": "pneumoniamnist",
        "init": "chest",
        "strategy": "gradual",
        "epochs": 1,
    }
    params["comparison"]["questions"].append({"run": "gradual", "against": "frozen"})
    workspace.set_params(params)
    ran = workspace.ran("dvc", "repro")
    assert ran == {
        *("configure", "train@gradual", "evaluate@gradual", "draw@gradual"),
        *("efficiency@gradual", "compare", "overview", "report"),
    }
    compared = json.loads(workspace.read("metrics/comparison.json"))
    assert "| gradual | 40 x 2 of " in workspace.read("metrics/comparison.md")
    assert "`gradual`" in workspace.read("report/index.md")
    assert "gradual" in workspace.read("plots/curves/roc.csv")
    assert compared["questions"][-1]["run"] == "gradual"
    del params["runs"]["gradual"], params["comparison"]["questions"][-1]
    workspace.set_params(params)
    workspace.succeed("dvc", "repro")
    assert "gradual" not in workspace.read("metrics/comparison.md")
    assert "`gradual`" not in workspace.read("report/index.md")
    assert (workspace.folder / "metrics/runs/gradual.json").exists()
    changed = workspace.succeed("git", "diff", "--name-only", "--", *RESULTS)
    assert changed == "", "a run that is no longer declared left traces"
    workspace.succeed("git", "clean", "--quiet", "-d", "--force", "metrics", "plots")
    workspace.restore()


# ------------------------------------------------------------------------------------ the sweep


SWEEP = ("sweep", "--queue", "1")
GRID = """
best: 1
trainings: 2
configurations:
  plain: {schedule: constant, augment: []}
  narrow: {width: 5}
"""


def test_a_sweep_survives_a_failure_and_then_runs_only_what_is_missing(workspace, repro):
    """The training of width 5 is made to fail, and mended for the second call."""
    workspace.replace(
        "stages/train.py",
        "        network = build(",
        "        assert run.width != 5\n        network = build(",
    )
    workspace.write("sweep/grid.yaml", GRID)
    workspace.commit()
    ended = workspace.run(*workspace.chestflow(*SWEEP))
    assert ended.returncode == 1 and ended.stderr.endswith("above: narrow-x1\n")
    assert "Traceback" not in ended.stderr.splitlines()[-1]
    names = set(workspace.succeed("dvc", "exp", "list", "--name-only").split())
    assert names == {"plain-x1", "plain-x2"}
    table = workspace.read("sweep/sweep.md")
    assert "| plain | schedule constant, augment [] | 18,218 |" in table and "narrow" not in table

    workspace.write("sweep/grid.yaml", GRID.replace("width: 5", "width: 4"))
    workspace.succeed(*workspace.chestflow(*SWEEP))
    names = set(workspace.succeed("dvc", "exp", "list", "--name-only").split())
    assert {"plain-x1", "plain-x2", "narrow-x1"} <= names
    report = json.loads(workspace.read("sweep/sweep.json"))
    assert {row["name"] for row in report["configurations"]} == {"plain", "narrow"}
    assert {row["trainings"] for row in report["configurations"]} == {1}
    assert {row["trainings"] for row in report["finalists"]} == {2}
    for row in report["configurations"] + report["finalists"]:
        low, high = row["ci95"]["auroc"]
        assert low <= row["auroc"] <= high and row["train_seconds"] > 0
        assert len(row["each"]["auroc"]) == row["trainings"]
        assert (row["sd"]["auroc"] is None) == (row["trainings"] == 1)
    assert report["reference"] == "plain" and "plain" in {r["name"] for r in report["finalists"]}
    times = [row["train_seconds"] for row in report["configurations"]]
    workspace.succeed(*workspace.chestflow(*SWEEP))
    again = json.loads(workspace.read("sweep/sweep.json"))["configurations"]
    assert [row["train_seconds"] for row in again] == times  # nothing was trained again
    assert workspace.succeed("git", "status", "--porcelain", "params.yaml") == ""


def test_an_unknown_parameter_ends_in_one_line(workspace, repro):
    params = workspace.params()
    params["runs"]["pneumonia"]["learning_rate"] = 0.1
    workspace.set_params(params)
    ended = workspace.run("dvc", "repro", "train@pneumonia")
    workspace.restore()
    lines = [line for line in ended.stderr.splitlines() if line.startswith("configure: ")]
    assert ended.returncode != 0 and "Traceback" not in ended.stderr
    assert len(lines) == 1
    assert "runs.pneumonia.learning_rate is not a parameter; accepted here: " in lines[0]
