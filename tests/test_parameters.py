"""A mistake in params.yaml is told in one line: the key, the value, what is accepted."""

import copy
import importlib
import inspect
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from medmnist import INFO

from stages.lib import parameters, phantom
from stages.lib.errors import UserError

ROOT = Path(__file__).parents[1]
VALUES = yaml.safe_load((ROOT / "params.yaml").read_text())
SCRIPTS = sorted(
    path.stem for path in (ROOT / "stages").glob("*.py") if "params: Params" in path.read_text()
)


def changed(key: str, value) -> dict:
    """params.yaml with the value at a dotted key set, or taken out if it is ...."""
    values = copy.deepcopy(VALUES)
    *places, last = key.split(".")
    block = values
    for place in places:
        block = block[int(place) if isinstance(block, list) else place]
    if value is ...:
        del block[last]
    else:
        block[last] = value
    return values


@pytest.fixture
def load(tmp_path):
    def loaded(text: str) -> parameters.Params:
        (tmp_path / "params.yaml").write_text(text)
        return parameters.load(tmp_path / "params.yaml")

    return loaded


@pytest.fixture
def mistake(load):
    """The one line in which a text is refused."""

    def refused(text: str) -> str:
        with pytest.raises(UserError) as error:
            load(text)
        assert "\n" not in str(error.value)
        return str(error.value)

    return refused


def test_the_repositorys_file_is_valid():
    params = parameters.load(ROOT / "params.yaml")
    assert params.lr == VALUES["lr"] and set(params.runs) == set(VALUES["runs"])


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("lr", 0, "greater than 0"),
        ("lr", float("nan"), "finite number"),
        ("lr", float("inf"), "finite number"),
        ("lr", "fast", "valid number"),
        ("lr", True, "valid number"),
        ("lr", None, "valid number"),
        ("lr", [0.1], "valid number"),
        ("epochs", 0, "greater than or equal to 1"),
        ("epochs", 2.5, "valid integer"),
        ("epochs", "24", "valid integer"),
        ("batch_size", 1, "greater than or equal to 2"),
        ("dropout", 1.0, "less than 1"),
        ("blocks", 5, "less than or equal to 4"),
        ("augment", "yes", "valid list"),
        ("schedule", "cosine", "'onecycle', 'constant' or 'plateau'"),
        ("source", "ftp", "'phantom' or 'medmnist'"),
        ("pixels", 32, "28, 64, 128 or 224"),
        ("pixels", "64", "28, 64, 128 or 224"),
        ("seed", -1, "greater than or equal to 0"),
        ("threads", 0, "greater than or equal to 1"),
        ("defaults.lr", 2.0, "less than or equal to 1"),
        ("runs.pneumonia.strategy", "thawed", "'unfrozen', 'frozen', 'headfirst' or 'gradual'"),
        ("runs.pneumonia.labels", "some", "'all'"),
        ("runs.pneumonia.labels", 0, "greater than or equal to 1"),
        ("runs.pneumonia.settings", "default", "'defaults.'"),
        ("evaluation.bootstrap", 10, "greater than or equal to 100"),
        ("datasets.chestmnist.md5", "xyz", "pattern"),
        ("datasets.chestmnist.files.pixels_64.md5", "xyz", "pattern"),
        ("datasets.chestmnist.phantom.train", 3, "greater than or equal to 10"),
    ],
)
def test_a_bad_value_is_named_with_what_is_accepted(mistake, key, value, accepted):
    line = mistake(yaml.safe_dump(changed(key, value)))
    assert f"params.yaml: {key} = {value!r}: " in line
    assert accepted in line


def test_an_unknown_step_of_augmentation_is_named_with_its_place(mistake):
    line = mistake(yaml.safe_dump(changed("augment", ["move", "flip"])))
    assert "params.yaml: augment.1 = 'flip': " in line
    assert "'move', 'reframe', 'sharpen' or 'expose'" in line


@pytest.mark.parametrize(
    ("key", "accepted"),
    [
        ("learning_rate", "lr, schedule, epochs"),
        ("defaults.learning_rate", "lr, schedule, epochs"),
        ("runs.pneumonia.learning_rate", "dataset, init, strategy"),
        ("evaluation.resamples", "bootstrap"),
        ("comparison.questions.0.versus", "run, against"),
        ("datasets.chestmnist.adress", "title, positive, findings"),
        ("datasets.chestmnist.phantom.sede", "seed, train, val, test"),
    ],
)
def test_an_unknown_key_is_named_with_those_there_are(mistake, key, accepted):
    line = mistake(yaml.safe_dump(changed(key, 1)))
    assert f"params.yaml: {key} is not a parameter; accepted here: " in line
    assert accepted in line


def test_an_unknown_key_of_a_run_that_is_called_like_a_parameter(mistake):
    values = changed("runs.labels", VALUES["runs"]["pneumonia"] | {"learning_rate": 1})
    line = mistake(yaml.safe_dump(values))
    assert "runs.labels.learning_rate is not a parameter; accepted here: dataset, init" in line


@pytest.mark.parametrize("key", ["lr", "defaults.epochs", "runs.pneumonia.init", "datasets"])
def test_a_missing_key_is_named(mistake, key):
    assert f"params.yaml: {key} is missing" in mistake(yaml.safe_dump(changed(key, ...)))


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("runs.pneumonia.dataset", "retinamnist", "chestmnist"),
        ("runs.pneumonia.init", "imagenet", "scratch, autoencoder"),
        ("runs.pneumonia.init", "pneumonia", "scratch, autoencoder"),  # itself
    ],
)
def test_a_reference_to_what_is_not_there_is_named(mistake, key, value, accepted):
    line = mistake(yaml.safe_dump(changed(key, value)))
    assert f"params.yaml: {key}: {value!r} is unknown; accepted: " in line
    assert accepted in line


def test_of_two_mistakes_in_one_block_the_first_is_told_by_itself(mistake):
    values = changed("datasets.pneumoniamnist.findings", "one")
    values["datasets"]["chestmnist"]["md5"] = "xyz"
    line = mistake(yaml.safe_dump(values, sort_keys=False))
    assert "datasets.pneumoniamnist.findings = 'one': Input should be a valid integer" in line
    assert "pattern" not in line, "what is accepted of another key"


@pytest.mark.parametrize("text", ["lr: [1", "a: b: c", "\tlr: 1", "{", "lr: !!python/object:os {}"])
def test_what_is_not_yaml_is_refused(mistake, text):
    assert "params.yaml is not YAML: " in mistake(text)


@pytest.mark.parametrize("text", ["", "# nothing", "- lr", "lr"])
def test_what_is_no_mapping_is_refused(mistake, text):
    assert "params.yaml: the file = " in mistake(text)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_bytes("# für später\nlr: 0.01\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"params\.yaml"):
        parameters.load(tmp_path / "params.yaml")


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", "0.001", "+1e-3", ".001"])
def test_numbers_in_every_notation(load, text):
    source = (ROOT / "params.yaml").read_text()
    assert load(source.replace("\nlr: 0.01", f"\nlr: {text}")).lr == 0.001


# ------------------------------------------------------------------------------------ its content


def test_settings_of_a_run_are_those_it_names_overruled_by_its_own(load):
    values = changed("defaults.width", 4)
    own = VALUES["runs"]["pneumonia"]
    values["runs"] |= {
        "top": own | {"settings": ""},
        "low": own | {"settings": "defaults."},
        "own": own | {"settings": "defaults.", "lr": 0.5, "epochs": 3, "patience": 2},
    }
    params = load(yaml.safe_dump(values))
    top, low, own = (params.settings_of(run) for run in ("top", "low", "own"))
    assert top.model_dump() == {key: VALUES[key] for key in parameters.Settings.model_fields}
    assert low.model_dump() == values["defaults"]
    assert own.model_dump() == values["defaults"] | {"lr": 0.5, "epochs": 3, "patience": 2}


def test_no_parameter_has_a_name_that_dvc_overlooks():
    """DVC's run cache leaves out keys of these names, as if they were those of dvc.lock: with
    another value, the result of the first value would come back."""

    def names(block) -> set[str]:
        blocks = block.values() if isinstance(block, dict) else block
        if not isinstance(block, dict | list):
            return set()
        return set(block if isinstance(block, dict) else ()).union(*map(names, blocks))

    assert not {"size", "nfiles"} & names(VALUES)


@pytest.mark.parametrize("dataset", VALUES["datasets"])
def test_datasets_are_those_that_medmnist_declares(dataset):
    declared, info = VALUES["datasets"][dataset], INFO[dataset]
    for size, suffix in ((28, ""), (64, "_64"), (128, "_128"), (224, "_224")):
        file = parameters.load(ROOT / "params.yaml").datasets[dataset].file(size)
        assert (file.url, file.md5) == (info[f"url{suffix}"], info[f"MD5{suffix}"])
    assert declared["title"] == info["python_class"]
    labels = 1 if "binary-class" in info["task"] and "multi" not in info["task"] else None
    assert declared["findings"] == (labels or len(info["label"]))


def test_a_file_of_ones_own_takes_the_place_of_every_size(load, mistake):
    values = changed("datasets.chestmnist.url", "../films.npz")
    line = mistake(yaml.safe_dump(values))
    assert "datasets.chestmnist.url and datasets.chestmnist.md5 go together" in line
    values["datasets"]["chestmnist"]["md5"] = "0" * 32
    for size in (28, 224):
        own = load(yaml.safe_dump(values)).datasets["chestmnist"].file(size)
        assert (own.url, own.md5, own.bytes) == ("../films.npz", "0" * 32, None)


def test_findings_of_the_phantom_are_chestmnists_in_its_order():
    assert list(phantom.FINDINGS) == list(INFO["chestmnist"]["label"].values())


# --------------------------------------------------------------------------------------- the sweep


@pytest.mark.parametrize(
    "changes, said",
    [
        ("{lr: 5}", "configurations.b: lr = 5: Input should be less than or equal to 1"),
        ("{learning_rate: 0.1}", "configurations.b: learning_rate is not a parameter; accepted"),
        ("3", "configurations.b = 3: Input should be a valid dictionary"),
    ],
)
def test_a_mistake_in_the_grid_is_named(load, tmp_path, changes, said):
    grid = tmp_path / "grid.yaml"
    grid.write_text(f"best: 1\nseeds: 2\nconfigurations:\n  a: {{}}\n  b: {changes}\n")
    with pytest.raises(UserError) as error:
        parameters.load_grid(grid, load(yaml.safe_dump(VALUES)))
    assert f"grid.yaml: {said}" in str(error.value)


def test_the_declared_grid_begins_with_the_plain_one(load):
    grid = parameters.load_grid(ROOT / "sweep/grid.yaml", load(yaml.safe_dump(VALUES)))
    name, changes = next(iter(grid.configurations.items()))
    assert (name, changes["schedule"], changes["augment"]) == ("plain", "constant", [])
    assert len(grid.configurations) >= 12


# ------------------------------------------------------------------------------------- the scripts


def command_line(stage: str, params: Path) -> list[str]:
    """Arguments of a stage's script: these parameters, and paths of which not one exists."""
    function = getattr(importlib.import_module(f"stages.{stage}"), stage)
    words = []
    for name, argument in inspect.signature(function).parameters.items():
        if argument.annotation is str:
            words.append("some")
        else:
            words += [f"--{name}", str(params if name == "params" else params.parent / "no" / name)]
    return words


@pytest.mark.parametrize("stage", SCRIPTS)
def test_a_script_refuses_bad_parameters_before_it_reads_data(stage, tmp_path, monkeypatch, capfd):
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(changed("lr", "fast")))
    monkeypatch.setattr(sys, "argv", [stage, *command_line(stage, params)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / f"stages/{stage}.py"), run_name="__main__")
    assert str(ended.value).startswith(f"{stage}: {params}: lr = 'fast': ")
    assert "\n" not in str(ended.value)
    assert list(tmp_path.iterdir()) == [params]
    assert capfd.readouterr() == ("", "")


def test_a_script_ends_with_one_line_on_stderr_and_exit_code_1(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(changed("lr", "fast")))
    command = [sys.executable, "-m", "stages.train", *command_line("train", params)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith("train: ")
