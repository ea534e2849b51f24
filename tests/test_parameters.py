"""A mistake in params.yaml or datasets.yaml is named in one line: key, value, what is accepted."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from small_run import refusal
from torch import nn

from chestflow.config import reading, schema
from chestflow.config.schema import RESERVED
from chestflow.models.cnn import Classifier
from stages.configure import COMMON, EARLY_STOPPING, TWO_PHASES, configure, settings_of

ROOT = Path(__file__).parents[1]
VALUES = yaml.safe_load((ROOT / "params.yaml").read_text())
DATASETS = yaml.safe_load((ROOT / "datasets.yaml").read_text())
GRID = {"best": 1, "trainings": 2, "configurations": {"a": {}, "b": {}}}
READERS = {
    "params.yaml": reading.params,
    "datasets.yaml": reading.datasets,
    "grid.yaml": reading.grid,
}
SUBJECT = "pneumonia"


def changed(key: str, value, original=VALUES) -> dict:
    """A file's content with the value at a dotted key set, or removed if it is ...."""
    values = copy.deepcopy(original)
    *places, last = key.split(".")
    block = values
    for place in places:
        block = block[int(place) if isinstance(block, list) else place]
    if value is ...:
        del block[last]
    else:
        block[last] = value
    return values


def text_of(values: dict) -> str:
    return yaml.safe_dump(values, sort_keys=False)


def read(folder: Path, name: str, text: str):
    """What a file of this name holds."""
    (folder / name).write_text(text)
    return READERS[name](folder / name)


# ------------------------------------------------------------------------------------- the values


FEW = "halves images of 28 pixels to nothing; accepted: up to 4"
DIFFERENT = (
    "lowdata and pneumonia are tested on chestmnist and pneumoniamnist; accepted: runs of one"
)
MISTAKES = [  # key, value, and what the line says
    ("lr", float("nan"), "lr = nan: Input should be a finite number"),
    ("lr", "fast", "lr = 'fast': Input should be a valid number"),
    ("lr", ..., "lr is missing"),
    ("steps", 2.5, "steps = 2.5: Input should be a valid integer"),
    ("batch_size", 1, "batch_size = 1: Input should be greater than or equal to 2"),
    ("blocks", 5, f"blocks = 5: {FEW}"),
    ("schedule", "cosine", "Input should be 'onecycle', 'constant' or 'plateau'"),
    ("rate", 0.1, "'rate' is not a parameter; accepted: lr, schedule, steps"),
    ("runs", {}, "runs = {}: Dictionary should have at least 1 item"),
    ("runs.chest.labels", 0, "runs.chest.labels: 0 is no number of images; accepted: all, or"),
    ("runs.chest.blocks", 6, f"runs.chest.blocks = 6: {FEW}"),
    ("runs.chest.trainings", 1, "runs.chest: 'trainings' is not a parameter; accepted: lr"),
    ("runs.chest.init", ..., "runs.chest.init is missing"),
    ("runs.frozen.contrast", "global", "contrast = global, but its start chest has local"),
    ("runs.chest.init", "imagenet", "'imagenet' is unknown; accepted: scratch, autoencoder, pneu"),
    ("label_efficiency.runs", ["x"], "label_efficiency.runs: 'x' is unknown; accepted: pneumonia"),
    ("comparison.primary.0.x", 1, "primary.0: 'x' is not a parameter; accepted: run, against"),
    ("comparison.primary", [{"run": "lowdata", "against": "x"}], "comparison: 'x' is unknown"),
    ("comparison.further", [{"run": "lowdata", "against": "pneumonia"}], DIFFERENT),
    ("comparison.spaces", {"a": ["lowdata", "pneumonia"]}, DIFFERENT),
]


IN_DATASETS = [
    ("datasets.chestmnist.title", "", "at least 1 character"),
    ("datasets.chestmnist.md5", "xyz", "chestmnist.md5 = 'xyz': String should match pattern"),
    ("datasets.chestmnist.url", "a.npz", "chestmnist: url and md5 go together; accepted: both"),
    ("datasets.chestmnist.diseased", [], "diseased = []: List should have at least 1 item"),
    ("datasets.chestmnist.phantom.train", 3, "train = 3: Input should be greater than or eq"),
    ("datasets.chestmnist.phantom.sede", 3, "accepted: seed, train, val, test"),
]
IN_GRID = [
    ("configurations.b.lr", 5, "b.lr = 5: Input should be less than or equal to 1"),
    ("configurations.b.pixels", 64, "b: 'pixels' is not a parameter; accepted: lr, schedule"),
    ("configurations.b", 3, "configurations.b = 3: Input should be a valid dictionary"),
]


@pytest.mark.parametrize(
    ("name", "content", "key", "value", "expected"),
    [
        *(("params.yaml", VALUES, *mistake) for mistake in MISTAKES),
        *(("datasets.yaml", DATASETS, *mistake) for mistake in IN_DATASETS),
        *(("grid.yaml", GRID, *mistake) for mistake in IN_GRID),
    ],
)
def test_a_mistake_is_named_with_what_is_accepted(tmp_path, name, content, key, value, expected):
    line = refusal(read, tmp_path, name, text_of(changed(key, value, content)))
    assert line.startswith(f"{tmp_path / name}: ") and expected in line


def test_a_renamed_key_is_named_rather_than_called_missing(tmp_path):
    values = {**changed("lr", ...), "learning_rate": 0.01}
    line = refusal(read, tmp_path, "params.yaml", text_of(values))
    assert "params.yaml: 'learning_rate' is not a parameter" in line


def test_a_layer_that_no_network_has_is_named_before_anything_is_trained(tmp_path):
    line = refusal(read, tmp_path, "params.yaml", text_of(changed("gradcam.layer", "frist")))
    accepted = line.partition("accepted: last, ")[2].split(", ")
    network = Classifier()
    assert accepted == [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    assert read(tmp_path, "params.yaml", text_of(changed("gradcam.layer", accepted[0])))


def test_a_data_set_that_is_not_declared_is_named_before_anything_is_written(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text(text_of(changed("autoencoder.dataset", "retinamnist")))
    outs = tmp_path / "scratch", tmp_path / "out"
    line = refusal(configure, SUBJECT, params, ROOT / "datasets.yaml", *outs)
    said = "autoencoder.dataset: 'retinamnist' is unknown; accepted: pneumoniamnist, chestmnist"
    assert line == f"{params}: {said}"
    assert list(tmp_path.iterdir()) == [params]


NO_NAMES = ["", "../x", "$(touch PWNED)", "a b", "a\n", "1a", "x" * 41, 1, True, "Scratch"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_is_refused(tmp_path, name):
    """Names become parts of paths and of shell commands."""
    runs = VALUES["runs"] | {name: VALUES["runs"]["chest"]}
    datasets = {name: DATASETS["datasets"]["chestmnist"]}
    files = {"params.yaml": VALUES | {"runs": runs}, "datasets.yaml": {"datasets": datasets}}
    for file, values in files.items():
        line = refusal(read, tmp_path, file, text_of(values))
        assert f": {name!r} is not a name; accepted: 1 to 40 of the characters" in line


def test_the_reserved_names_are_those_of_other_outputs_beside_a_runs():
    """Of dvc.yaml: what a run's name would make of `models/${key}` is there already."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    outs = {path for body in stages.values() for path in body.get("outs", []) if type(path) is str}
    assert {path.removeprefix("models/") for path in outs if "models/" in path} == set(RESERVED)


# ------------------------------------------------------------------------------------------- YAML


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr: [1", "is not YAML: "),
        ("lr: !!python/object:os {}", "is not YAML: "),
        ("lr: 2001-13-45", "is not YAML: month must be in 1..12"),
        ("lr: 1\nlr: 2", 'found duplicate key "lr"'),
        ("", "the file = None: "),
        ("- lr", "the file = ['lr']: "),
        ("!!int ''", "is not YAML: "),
    ],
)
def test_what_is_not_a_mapping_in_yaml_is_refused(tmp_path, text, expected):
    assert expected in refusal(read, tmp_path, "params.yaml", text)


def test_a_number_may_be_written_as_dvc_reads_it(tmp_path):
    """PyYAML would take 1e-3 for a text."""
    source = (ROOT / "params.yaml").read_text().replace("\nlr: 0.01", "\nlr: 1e-3")
    assert read(tmp_path, "params.yaml", "\ufeff" + source).lr == 0.001


# -------------------------------------------------------------------------------------- configure


def configured(folder: Path, values: dict) -> dict[str, str]:
    """File -> content of what stage `configure` writes."""
    (folder / "params.yaml").write_text(text_of(values))
    files = folder / "params.yaml", ROOT / "datasets.yaml"
    configure(SUBJECT, *files, folder / "scratch", folder / "out")
    paths = (folder / "out").rglob("*.json")
    return {
        str(path.relative_to(folder / "out").with_suffix("")): path.read_text() for path in paths
    }


def test_a_run_has_the_top_level_settings_overruled_by_its_own(tmp_path):
    own = VALUES["runs"][SUBJECT] | {"lr": 0.5, "steps": 3, "labels": 40, "augment": []}
    params = read(tmp_path, "params.yaml", text_of(changed("runs.own", own)))
    shared = {key: VALUES[key] for key in {*schema.Settings.model_fields, *COMMON}}
    unused = dict.fromkeys((*TWO_PHASES, *EARLY_STOPPING))  # one phase, with averaged weights
    assert settings_of(params, "own") == shared | own | unused | {"name": "own"}


def test_configure_writes_the_settings_of_every_training(tmp_path):
    written = {name: json.loads(text) for name, text in configured(tmp_path, VALUES).items()}
    assert written["all"]["subject"] == SUBJECT
    assert list(written["all"]["runs"]) == list(VALUES["runs"]), "in their order"
    wanted, out = VALUES["label_efficiency"], tmp_path / "out"
    for name in VALUES["runs"]:
        training = reading.settings(out / f"runs/{name}.json")
        assert vars(training) == written["all"]["runs"][name]
        points = reading.settings(out / f"label_efficiency/{name}.json").points
        few = [] if training.steps is None else [(training.labels, wanted["few_steps"])]
        expected = [*((n, training.steps) for n in wanted["labels"]), *few]
        listed = name in wanted["runs"]
        assert [(p.labels, p.steps) for p in points] == (expected if listed else [])
        assert all(p.init == training.init for p in points)
    shared = ("width", "blocks", "contrast", "seed", "trainings", "threads")
    common = {key: VALUES[key] for key in shared}
    assert written["autoencoder"] == VALUES["autoencoder"] | common


ALL = {f"runs/{run}" for run in VALUES["runs"]}
CURVES = {f"label_efficiency/{run}" for run in VALUES["label_efficiency"]["runs"]}
PROBES = {"runs/frozen", "label_efficiency/frozen"}  # which are fitted, without gradient descent


@pytest.mark.parametrize(
    ("key", "value", "reached"),
    [
        ("lr", 0.003, (ALL | CURVES) - PROBES),
        ("patience", 3, {"runs/early_stopping"}),  # the others average, and stop at no best epoch
        ("layer_decay", 0.9, {"runs/headfirst"}),
        ("runs.unfrozen.lr", 0.003, {"runs/unfrozen", "label_efficiency/unfrozen"}),
        ("autoencoder.lr", 0.003, {"autoencoder"}),
        ("weight_decay", 0.003, (ALL | CURVES) - PROBES),  # which the autoencoder has to itself
        ("width", 4, ALL | CURVES | {"autoencoder"}),
        ("label_efficiency.labels", [50, 70], CURVES),
        ("label_efficiency.val_share", 0.5, CURVES),
        ("gradcam.images", 4, set()),
        ("pixels", 64, set()),
    ],
)
def test_a_change_reaches_exactly_the_trainings_it_concerns(tmp_path, key, value, reached):
    """DVC reruns what depends on a file that has changed."""
    before, after = (configured(tmp_path, values) for values in (VALUES, changed(key, value)))
    differing = {name for name in before if before[name] != after[name]}
    assert differing - {"all"} == reached
    assert ("all" in differing) == bool(reached & ALL)


def test_no_parameter_has_a_name_that_dvc_overlooks():
    """DVC's run cache ignores keys of these names, as if they were those of dvc.lock: after a new
    value it would bring back the result of the old one."""
    names = set(re.findall(r"(\w+):", text_of(VALUES) + text_of(DATASETS)))
    assert not {"size", "nfiles"} & names
