"""The graph itself, run once at the smallest scale: is dvc.lock current, does it run, and does a
change rerun what it must and nothing else?"""

import contextlib
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from workspace import RESULTS, Workspace, started

from chestflow.models import checkpoint
from stages.configure import configure

RUNS = ("pneumonia", "frozen")

# ------------------------------------------------------------------------------ the committed run


@pytest.fixture(scope="module")
def clone(tmp_path_factory, environment) -> Workspace:
    """What a clone has: dvc.lock and no data."""
    copy = Workspace(tmp_path_factory.mktemp("clone"), environment)
    copy.fill()
    return copy


def test_lock_is_current(clone):
    ended = clone.run("dvc", "repro", "--dry", "--allow-missing")
    changed = ", ".join(started(ended.stdout))
    assert not changed, f"run dvc repro and commit dvc.lock: {changed} changed"
    assert ended.returncode == 0, ended.stderr


def test_an_entry_in_params_yaml_is_all_that_a_run_needs(clone):
    """What sets runs side by side depends on the new one as well, without an edit of dvc.yaml."""
    params = clone.params()
    params["runs"]["new"] = {"dataset": "pneumoniamnist", "init": "chest"}
    clone.set_params(params)
    edges = set(re.findall(r'(?m)^"(.+)" -> "(.+)";$', clone.succeed("dvc", "dag", "--dot")))
    assert {("train@chest", "train@new"), ("train@new", "evaluate@new")} <= edges
    assert {("evaluate@new", stage) for stage in ("compare", "overview", "report")} <= edges
    assert ("label_efficiency@new", "compare") in edges


# -------------------------------------------------------------------------------- the first run


def test_repro_runs_every_stage_and_says_how_it_ended(graph):
    stages = graph.lock().keys()
    assert {"download@chestmnist", "pretrain", "train@frozen", "latent@frozen", "report"} <= stages
    ended = dict(re.findall(r"(?m)^\[\d+/\d+\] (\S+): \d+ s, (.+)$", graph.said))
    assert ended.keys() == stages
    assert "PHANTOM" in ended["gradcam@pneumonia"]
    assert graph.said.endswith(f"repro: all {len(stages)} stages are up to date\n")
    outputs = [out["path"] for stage in graph.lock().values() for out in stage["outs"]]
    assert all((graph.folder / path).exists() for path in outputs)


def test_afterwards_dvc_finds_nothing_to_do(graph):
    assert graph.changed() == set()


def test_git_sees_results_and_no_data(graph):
    new = graph.succeed("git", "status", "--porcelain", "-uall").splitlines()
    names = {line[3:] for line in new}
    assert "dvc.lock" in names and "metrics/gradcam/frozen.json" in names
    assert not {name for name in names if not name.startswith(("dvc.lock", *RESULTS))}


def test_every_metrics_file_says_that_images_are_phantoms(graph):
    files = list((graph.folder / "metrics").rglob("*.json"))
    folders = {"metrics", "data", "runs", "gradcam", "framing", "latent"}
    assert {path.parent.name for path in files} == folders
    for path in files:
        assert "PHANTOM" in json.dumps(json.loads(path.read_text()).get("data")), path


@pytest.mark.parametrize("run", RUNS)
def test_scores_are_means_over_trainings_and_name_the_weights(graph, run):
    report = json.loads(graph.read(f"data/results/{run}/scores.json"))
    each, models = report["each"]["auroc"], graph.folder / "models" / run
    assert report["trainings"] == len(each) == 2 and each[0] != each[1]
    assert report["auroc"] == pytest.approx(sum(each) / 2, abs=1e-6)
    assert report["sd"]["auroc"] == pytest.approx(abs(each[0] - each[1]) / 2**0.5, abs=2e-6)
    assert report["weights"] == checkpoint.digest(models)
    representative = checkpoint.training(models, report["representative"]) / checkpoint.FILE
    assert representative.read_bytes() == (models / checkpoint.FILE).read_bytes()


def test_a_training_starts_from_the_same_one_of_its_start(graph):
    """A frozen encoder is still the one that it came as."""
    encoders = {}
    for start in ("autoencoder", "frozen"):
        for k in (0, 1):
            folder = checkpoint.training(graph.folder / "models" / start, k)
            weights, about = checkpoint.read(folder)
            assert about["seed"] == k
            encoder = {key: v for key, v in weights.items() if key.startswith("encoder.")}
            encoders[start, k] = {key: value.tolist() for key, value in encoder.items()}
    for k in (0, 1):
        assert encoders["frozen", k] == encoders["autoencoder", k]
    assert encoders["frozen", 0] != encoders["frozen", 1]


def test_label_efficiency_holds_the_runs_and_what_is_trained_besides(graph):
    points = json.loads(graph.read("data/label_efficiency.json"))["points"]
    by_run = {(p["run"], p["is_run"]): p for p in points if not p["short"]}
    assert by_run.keys() == {(r, True) for r in RUNS} | {("pneumonia", False), ("frozen", False)}
    for is_run, labels in ((True, 60), (False, 40)):
        frozen, scratch = (by_run[run, is_run] for run in ("frozen", "pneumonia"))
        assert frozen["labels"] == scratch["labels"] == labels
        ahead = frozen["auroc"] - scratch["auroc"]
        assert frozen["from_scratch"]["difference"] == pytest.approx(ahead, abs=2e-6)


# ---------------------------------------------------------------------------- a copy to be edited


@pytest.fixture(scope="module")
def copied(graph, tmp_path_factory) -> Workspace:
    return graph.copy(tmp_path_factory.mktemp("copied") / "space")


@pytest.fixture
def edited(copied):
    """A copy in which files of Git and the settings are changed, and then put back."""
    yield copied
    copied.succeed("git", "checkout", "--quiet", "--", ".")
    reconfigure(copied)


def reconfigure(space: Workspace) -> None:
    """As stage `configure` does, in this process."""
    with contextlib.chdir(space.folder):
        paths = (Path("params.yaml"), Path("datasets.yaml"), Path("models/scratch"))
        configure("pneumonia", *paths, Path("data/settings"))


def param(key: str, value, name: str = "params.yaml"):
    def change(space: Workspace) -> None:
        params = space.params(name)
        *path, last = key.split(".")
        block = params
        for part in path:
            block = block[part]
        block[last] = value
        space.set_params(params, name)

    return change


# ------------------------------------------------------------------------- the documented commands


def test_metrics_show_lists_every_run(graph):
    shown = json.loads(graph.succeed("dvc", "metrics", "show", "--json"))[""]["data"]
    for run in RUNS:
        assert {"accuracy", "auroc"} <= shown[f"metrics/runs/{run}.json"]["data"].keys()
        of_run = [file["data"] for path, file in shown.items() if path.endswith(f"/{run}.json")]
        numbers = re.findall(r"\d\.\d+", json.dumps(of_run))
        assert len(of_run) >= 3 and len(numbers) <= 10, "what is more, nobody reads"


def test_plots_show_opens_with_panels_that_hold_every_run(graph):
    panels = json.loads(graph.succeed("dvc", "plots", "show", "--json"))["data"]
    leading = ["pneumonia: ROC curve", "pneumonia: training", "ROC curves"]
    assert list(panels)[:3] == leading and len(panels) < 15
    for name in leading:  # one line per training, not one that leaps back to the next one's start
        assert panels[name][0]["content"]["encoding"]["detail"]["field"] == "training"
    content = json.dumps(panels["ROC curves"])
    assert all(f'\\"{run}\\"' in content or f'"{run}"' in content for run in RUNS)
    for panel in ("Precision-recall curves", "Reliability", "Training"):
        assert "PneumoniaMNIST PHANTOM" in json.dumps(panels[panel])


def test_an_experiment_is_run_and_compared_as_the_readme_says(space):
    (block,) = re.findall(r"(?s)\n## Change and compare\n+```sh\n(.*?)```", space.read("README.md"))
    _, *lines = [shlex.split(line, comments=True) for line in block.splitlines()]  # not activate
    said = {" ".join(words[:2]): space.succeed(*words) for words in lines}
    assert "auroc" in said["dvc metrics"]
    pictures = space.folder / "dvc_plots/static"
    for experiment in ("HEAD", "lr-0.003"):  # which the notebook shows
        for name in ("history", "evaluation"):
            assert (pictures / f"{experiment}_plots_runs_pneumonia_{name}.png").is_file()
    assert space.succeed("git", "status", "--porcelain") == "", "the folder stays as it is"


def test_what_is_no_longer_declared_is_not_read(space):
    """The files of a run that was taken out stay in the folder."""
    for kind in ("data/results", "data/latent"):
        shutil.copytree(space.folder / kind / "frozen", space.folder / kind / "gone")
    space.write("data/framing/gone.json", space.read("data/framing/frozen.json"))
    assert "compare" in started(space.succeed("dvc", "repro", "--single-item", "compare"))
    assert space.succeed("git", "status", "--porcelain").split() == ["M", "dvc.lock"]
    assert "gone" not in space.succeed("chestflow", "summary")


def test_an_unknown_parameter_ends_in_one_line(edited):
    param("runs.pneumonia.learning_rate", 0.1)(edited)
    ended = edited.run("chestflow", "repro")
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert ended.stderr.endswith("repro: configure failed, see above\n")
    assert "runs.pneumonia: 'learning_rate'" in ended.stderr


def test_no_command_runs_with_a_name_that_is_refused(edited):
    """Names are parts of commands: stage `configure` comes before all that have one."""
    param("datasets.a;touch intruder", {}, "datasets.yaml")(edited)
    assert "is not a name" in edited.run("dvc", "repro").stderr
    assert not (edited.folder / "intruder").exists()


# --------------------------------------------------------------- what a change would run again


def comment(name: str):
    return lambda space: space.write(name, f"{space.read(name)}\n# A comment.\n")


def of(*stages: str, runs: tuple[str, ...] = RUNS) -> set[str]:
    return {f"{stage}@{run}" for stage in stages for run in runs}


TRAINED = ("train", "label_efficiency")
SETTINGS = {"configure", "compare", "overview", "report"}  # read the settings of all runs
CHANGES = {
    "how GradCAM is computed": (comment("chestflow/explain/gradcam.py"), of("gradcam")),
    "how it is plotted": (comment("chestflow/plots/gradcam.py"), of("plot") | {"overview"}),
    "a helper for files": (comment("chestflow/files.py"), set()),
    "a check of parameters": (comment("chestflow/config/schema.py"), set()),
    "early stopping": (
        comment("chestflow/training/early_stopping.py"),
        of(*TRAINED, "evaluate") | {"pretrain"},  # evaluate needs the augmentations
    ),
    "a sentence of the report": (comment("chestflow/report/template.md.jinja"), {"report"}),
    "t-SNE": (param("latent.perplexity", 4), of("latent")),
    "the layer of GradCAM": (param("gradcam.images", 9), of("gradcam", "plot") | {"report"}),
    "the rate of all runs": (  # a linear probe has none
        param("lr", 0.003),
        of(*TRAINED, runs=("pneumonia",)) | SETTINGS,
    ),
    "a setting that no run uses": (param("lr_factor", 0.2), set()),  # of strategy headfirst
    "the rate of one run": (
        param("runs.pneumonia.lr", 0.05),
        of(*TRAINED, runs=("pneumonia",)) | SETTINGS,
    ),
    "the autoencoder's rate": (param("autoencoder.lr", 0.02), {"pretrain"}),
    "a run's curve": (
        param("label_efficiency.runs", ["pneumonia"]),
        of("label_efficiency", runs=("frozen",)),
    ),
    "a data set's title": (
        param("datasets.chestmnist.title", "Chests", "datasets.yaml"),
        {"download@chestmnist", "binarize@chestmnist"},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_runs_what_depends_on_it_and_nothing_else(edited, change):
    make, expected = CHANGES[change]
    make(edited)
    reconfigure(edited)
    assert edited.changed() - {"configure"} == expected - {"configure"}
