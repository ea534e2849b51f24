"""A mistake in params.yaml or datasets.yaml is named in one line: key, value, what is accepted."""

import argparse
import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from torch import nn

from chestflow.commands import check
from chestflow.config import reading, schema
from chestflow.config.values import RESERVED
from chestflow.errors import UserError
from chestflow.models.cnn import Classifier
from stages.configure import COMMON, EARLY_STOPPING, TWO_PHASES, configure, settings_of

ROOT = Path(__file__).parents[1]
VALUES = yaml.safe_load((ROOT / "params.yaml").read_text())
DATASETS = yaml.safe_load((ROOT / "datasets.yaml").read_text())
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


@pytest.fixture
def load(tmp_path):
    def loaded(text: str) -> schema.Params:
        (tmp_path / "params.yaml").write_text(text)
        return reading.params(tmp_path / "params.yaml")

    return loaded


def load_datasets(folder: Path, values: dict):
    (folder / "datasets.yaml").write_text(text_of(values))
    return reading.datasets(folder / "datasets.yaml")


def refusal(read, *given) -> str:
    """The one line in which something is refused."""
    with pytest.raises(UserError) as error:
        read(*given)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def mistake(load):
    return lambda values: refusal(load, text_of(values))


# ------------------------------------------------------------------------------------- the values


FEW = "halves images of 28 pixels to nothing; accepted: up to 4"
RUN_KEYS = "is not a parameter; accepted here: dataset, init, lr"
CIRCLE = "a circle; accepted: starts that lead to scratch or autoencoder"
DIFFERENT = (
    "lowdata and pneumonia are tested on chestmnist and pneumoniamnist; accepted: runs of one"
)
MISTAKES = [  # key, value, and the line but for the file's name
    ("lr", float("nan"), "lr = nan: Input should be a finite number"),
    ("lr", "fast", "lr = 'fast': Input should be a valid number"),
    ("lr", True, "lr = True: Input should be a valid number"),
    ("lr", ..., "lr is missing; it must be given"),
    ("steps", 2.5, "steps = 2.5: Input should be a valid integer"),
    ("batch_size", 1, "batch_size = 1: Input should be greater than or equal to 2"),
    ("dropout", 1.0, "dropout = 1.0: Input should be less than 1"),
    ("blocks", 5, f"blocks = 5: {FEW}"),
    ("schedule", "cosine", "Input should be 'onecycle', 'constant' or 'plateau'"),
    ("pixels", 32, "pixels = 32: Input should be 28, 64, 128 or 224"),
    ("rate", 0.1, "rate is not a parameter; accepted here: lr, schedule, steps"),
    ("runs", {}, "runs = {}: Dictionary should have at least 1 item"),
    ("runs.chest.labels", 0, "runs.chest.labels = 0: Input should be 'all' or an integer"),
    ("runs.chest.blocks", 6, f"runs.chest.blocks = 6: {FEW}"),
    ("runs.chest.rate", 1, f"runs.chest.rate {RUN_KEYS}"),
    ("runs.chest.trainings", 1, f"runs.chest.trainings {RUN_KEYS}"),  # all alike: they are paired
    ("runs.chest.init", ..., "runs.chest.init is missing; it must be given"),
    ("runs.chest.init", "imagenet", "'imagenet' is unknown; accepted: scratch, autoencoder, pneu"),
    ("runs.chest.init", "chest", f"runs: chest starts from chest: {CIRCLE}"),
    ("runs.chest.init", "frozen", f"chest starts from frozen, which starts from chest: {CIRCLE}"),
    ("label_efficiency.runs", ["x"], "label_efficiency.runs: 'x' is unknown; accepted: pneumonia"),
    ("comparison.primary.0.x", 1, "x is not a parameter; accepted here: run, against"),
    ("comparison.primary", [{"run": "lowdata", "against": "x"}], "primary.0: 'x' is unknown"),
    ("comparison.further", [{"run": "lowdata", "against": "pneumonia"}], DIFFERENT),
    ("comparison.spaces", {"a": ["lowdata", "pneumonia"]}, f"comparison.spaces.a: {DIFFERENT}"),
    ("comparison.spaces", {"a": ["x"]}, "spaces.a: 'x' is unknown; accepted: pneumonia, lowdata"),
]


@pytest.mark.parametrize(("key", "value", "expected"), MISTAKES)
def test_a_mistake_is_named_with_what_is_accepted(mistake, key, value, expected):
    line = mistake(changed(key, value))
    assert "params.yaml: " in line and expected in line


def test_a_renamed_key_is_named_rather_than_called_missing(mistake):
    values = {**changed("lr", ...), "learning_rate": 0.01}
    assert "params.yaml: learning_rate is not a parameter" in mistake(values)


def test_a_layer_that_no_network_has_is_named_before_anything_is_trained(mistake, load):
    line = mistake(changed("gradcam.layer", "frist"))
    accepted = line.partition("accepted: last, ")[2].split(", ")
    network = Classifier()
    assert accepted == [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    assert load(text_of(changed("gradcam.layer", accepted[0]))).gradcam.layer == accepted[0]


def test_a_data_set_that_is_not_declared_is_named(tmp_path):
    """By stage `configure`, on which all trainings depend, and by the command `check`."""
    values = changed("autoencoder.dataset", "retinamnist")
    params, datasets = tmp_path / "params.yaml", ROOT / "datasets.yaml"
    params.write_text(text_of(values))
    outs = tmp_path / "scratch", tmp_path / "out"
    lines = {
        refusal(configure, SUBJECT, params, datasets, *outs),
        refusal(check.main, argparse.Namespace(params=params, datasets=datasets)),
    }
    said = "autoencoder.dataset: 'retinamnist' is unknown; accepted: pneumoniamnist, chestmnist"
    assert lines == {f"{params}: {said}"}
    assert list(tmp_path.iterdir()) == [params]


@pytest.mark.parametrize("name", ["", "../x", "$(touch PWNED)", "a b", "1a", "x" * 41, 1, True])
def test_what_is_no_name_is_refused(mistake, tmp_path, name):
    """Names become parts of paths and of shell commands."""
    runs = VALUES["runs"] | {name: VALUES["runs"]["chest"]}
    datasets = {name: DATASETS["datasets"]["chestmnist"]}
    said = f": {name!r} is not a name; accepted: 1 to 40 of the characters"
    assert said in mistake(VALUES | {"runs": runs})
    assert said in refusal(load_datasets, tmp_path, {"datasets": datasets})


@pytest.mark.parametrize("name", ["autoencoder", "Scratch"])
def test_a_run_cannot_take_a_reserved_name(mistake, name):
    line = mistake(changed(f"runs.{name}", VALUES["runs"]["chest"]))
    assert f"params.yaml: runs: {name!r} is reserved; accepted: any name but scratch" in line


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
    ],
)
def test_what_is_not_a_mapping_in_yaml_is_refused(load, text, expected):
    assert expected in refusal(load, text)


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "0.001", ".001"])
def test_numbers_in_every_notation(load, text):
    """PyYAML would take 1e-3 for a text."""
    source = (ROOT / "params.yaml").read_text()
    assert load("\ufeff" + source.replace("\nlr: 0.01", f"\nlr: {text}")).lr == 0.001


# -------------------------------------------------------------------------------------- datasets


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("datasets.chestmnist.title", "", "at least 1 character"),
        ("datasets.chestmnist.title", ..., "chestmnist.title is missing; it must be given"),
        ("datasets.chestmnist.md5", "xyz", "chestmnist.md5 = 'xyz': String should match pattern"),
        ("datasets.chestmnist.url", "a.npz", "chestmnist: url and md5 go together; accepted: both"),
        ("datasets.chestmnist.diseased", [], "diseased = []: List should have at least 1 item"),
        ("datasets.chestmnist.phantom.train", 3, "train = 3: Input should be greater than or eq"),
        ("datasets.chestmnist.phantom.sede", 3, "accepted here: seed, train, val, test"),
        ("datasets.chestmnist.adress", 3, "accepted here: title, positive, diseased"),
        ("datasets", {}, "at least 1 item"),
    ],
)
def test_a_mistake_in_a_data_set_is_named(tmp_path, key, value, expected):
    line = refusal(load_datasets, tmp_path, changed(key, value, DATASETS))
    assert "datasets.yaml: datasets" in line and expected in line


def test_what_a_data_set_leaves_out_is_null(tmp_path):
    entry = {"title": "BreastMNIST", "positive": "malignant"}
    dataset = load_datasets(tmp_path, {"datasets": {"breastmnist": entry}})["breastmnist"]
    absent = dataset.model_dump(exclude={"title", "positive"})
    assert set(absent.values()) == {None}


def test_an_unknown_data_set_is_refused_with_the_known_ones():
    line = refusal(reading.dataset, ROOT / "datasets.yaml", "retinamnist")
    assert line == "dataset: 'retinamnist' is unknown; accepted: pneumoniamnist, chestmnist"


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


def test_a_run_has_the_top_level_settings_overruled_by_its_own(load):
    own = VALUES["runs"][SUBJECT] | {"lr": 0.5, "steps": 3, "labels": 40, "augment": []}
    params = load(text_of(changed("runs.own", own)))
    shared = {key: VALUES[key] for key in {*schema.Settings.model_fields, *COMMON}}
    unused = dict.fromkeys((*TWO_PHASES, *EARLY_STOPPING))  # one phase, with averaged weights
    assert settings_of(params, "own") == shared | own | unused | {"name": "own"}


def test_configure_writes_the_settings_of_every_training(tmp_path):
    written = {name: json.loads(text) for name, text in configured(tmp_path, VALUES).items()}
    assert written["all"]["subject"] == SUBJECT
    assert list(written["all"]["runs"]) == list(VALUES["runs"]), "in their order"
    wanted, out = VALUES["label_efficiency"], tmp_path / "out"
    for name in VALUES["runs"]:
        training = reading.training(out / f"runs/{name}.json")
        assert training.model_dump() == written["all"]["runs"][name] == written[f"runs/{name}"]
        points = reading.points(out / f"label_efficiency/{name}.json").points
        few = [] if training.steps is None else [(training.labels, wanted["few_steps"])]
        expected = [*((n, training.steps) for n in wanted["labels"]), *few]
        listed = name in wanted["runs"]
        assert [(p.labels, p.steps) for p in points] == (expected if listed else [])
        assert all(p.init == training.init for p in points)
    pretraining = reading.pretraining(out / "autoencoder.json")
    encoder = ("width", "blocks", "contrast")
    common = {key: VALUES[key] for key in (*encoder, "seed", "trainings", "threads")}
    assert pretraining.model_dump() == VALUES["autoencoder"] | common


ALL = {f"runs/{run}" for run in VALUES["runs"]}
CURVES = {f"label_efficiency/{run}" for run in VALUES["label_efficiency"]["runs"]}
PROBES = {"runs/frozen", "label_efficiency/frozen"}  # which are fitted, without gradient descent


@pytest.mark.parametrize(
    ("key", "value", "reached"),
    [
        ("lr", 0.003, (ALL | CURVES) - PROBES),
        ("patience", 3, {"runs/early_stopping"}),  # the others average, and stop at no best epoch
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
    assert ("all" in differing) == bool(reached & (ALL | {"autoencoder"}))


def test_no_parameter_has_a_name_that_dvc_overlooks():
    """DVC's run cache ignores keys of these names, as if they were those of dvc.lock: after a new
    value it would bring back the result of the old one."""
    names = set(re.findall(r"(\w+):", text_of(VALUES) + text_of(DATASETS)))
    assert not {"size", "nfiles"} & names


# --------------------------------------------------------------------------------------- the sweep


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lr": 5}, "configurations.b: lr = 5: Input should be less than or equal to 1"),
        ({"learning_rate": 1}, "configurations.b: learning_rate is not a parameter; accepted"),
        ({"pixels": 64}, "configurations.b: pixels: 'pixels' is unknown; accepted: lr, schedule"),
        (3, "configurations.b = 3: Input should be a valid dictionary"),
    ],
)
def test_a_mistake_in_the_grid_is_named(tmp_path, changes, expected):
    grid, params = tmp_path / "grid.yaml", reading.params(ROOT / "params.yaml")
    values = {"best": 1, "trainings": 2, "configurations": {"a": {}, "b": changes}}
    grid.write_text(text_of(values))
    assert f"grid.yaml: {expected}" in refusal(reading.grid, grid, params)
