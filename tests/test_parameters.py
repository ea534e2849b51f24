"""A mistake in params.yaml or datasets.yaml is named in one line: key, value, what is accepted."""

import argparse
import copy
import importlib
import inspect
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from medmnist import INFO
from torch import nn

from chestflow import stage
from chestflow.commands import check
from chestflow.config import needs, reading, schema
from chestflow.config.datasets import MOST_IMAGES, Dataset, Phantom
from chestflow.config.values import RESERVED
from chestflow.errors import UserError
from chestflow.models.cnn import Classifier
from chestflow.sources import archive, findings
from stages.configure import COMMON, configure, settings_of

ROOT = Path(__file__).parents[1]
VALUES = yaml.safe_load((ROOT / "params.yaml").read_text())
DATASETS = yaml.safe_load((ROOT / "datasets.yaml").read_text())
SUBJECT = "pneumonia"


def function_of(script: str):
    """The function that a stage's script runs."""
    return getattr(importlib.import_module(f"stages.{script}"), script)


SCRIPTS = sorted(path.stem for path in (ROOT / "stages").glob("*.py"))
READERS = [  # scripts that are handed params.yaml
    script for script in SCRIPTS if script == "configure" or stage.params_of(function_of(script))
]


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


@pytest.fixture
def load(tmp_path):
    def loaded(text: str) -> schema.Params:
        (tmp_path / "params.yaml").write_text(text)
        return reading.params(tmp_path / "params.yaml")

    return loaded


@pytest.fixture
def load_datasets(tmp_path):
    def loaded(text: str) -> dict[str, Dataset]:
        (tmp_path / "datasets.yaml").write_text(text)
        return reading.datasets(tmp_path / "datasets.yaml")

    return loaded


def refusal(read, text: str) -> str:
    """The one line in which a text is refused."""
    with pytest.raises(UserError) as error:
        read(text)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def mistake(load):
    return lambda text: refusal(load, text)


@pytest.fixture
def datasets_mistake(load_datasets):
    return lambda text: refusal(load_datasets, text)


def options(**given) -> argparse.Namespace:
    return argparse.Namespace(**given)


def test_the_repositorys_files_are_valid():
    params, datasets = (
        reading.params(ROOT / "params.yaml"),
        reading.datasets(ROOT / "datasets.yaml"),
    )
    assert params.lr == VALUES["lr"] and set(params.runs) == set(VALUES["runs"])
    assert set(datasets) == set(DATASETS["datasets"]) >= set(params.datasets_used.values())


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
        ("blocks", 8, "less than or equal to 7"),
        ("blocks", 5, "halves images of 28 pixels to nothing; accepted: up to 4"),
        ("augment", "yes", "valid list"),
        ("schedule", "cosine", "'onecycle', 'constant' or 'plateau'"),
        ("source", "ftp", "'phantom' or 'medmnist'"),
        ("pixels", 32, "28, 64, 128 or 224"),
        ("pixels", "64", "28, 64, 128 or 224"),
        ("seed", -1, "greater than or equal to 0"),
        ("threads", 0, "greater than or equal to 1"),
        ("trainings", 0, "greater than or equal to 1"),
        ("trainings", 1000, "less than or equal to "),
        ("trainings", 1.0, "valid integer"),
        ("trainings", True, "valid integer"),
        ("strategy", "thawed", "'unfrozen', 'frozen', 'headfirst' or 'gradual'"),
        ("labels", "some", "'all'"),
        ("runs.pneumonia.strategy", "thawed", "'unfrozen', 'frozen', 'headfirst' or 'gradual'"),
        ("runs.pneumonia.labels", "some", "'all'"),
        ("runs.pneumonia.labels", 0, "greater than or equal to 1"),
        ("runs.pneumonia.lr", 5.0, "less than or equal to 1"),
        ("runs.pneumonia.epochs", 2.5, "valid integer"),
        ("runs.pneumonia.class_weights", "yes", "valid boolean"),
        ("runs.pneumonia.dropout", 1.0, "less than 1"),
        ("runs.pneumonia.keep", "first", "'best', 'last' or 'average'"),
        ("runs.pneumonia.width", 1, "greater than or equal to 2"),
        ("gradcam.images", 1, "greater than or equal to 2"),
        ("latent.images", 9, "greater than or equal to 10"),
        ("comparison.spaces.transfer", [], "at least 1 item"),
        ("efficiency.labels", [], "at least 1 item"),
        ("efficiency.labels", "all", "valid list"),
        ("efficiency.val_share", 0, "greater than 0"),
        ("efficiency.val_share", 33, "less than or equal to 1"),
        ("efficiency.runs", "frozen", "valid list"),
        ("runs", {}, "at least 1 item"),
        ("epochs", 10**15, "less than or equal to 100000"),
        ("autoencoder.code", 10**12, "less than or equal to 50176"),
    ],
)
def test_a_bad_value_is_named_with_what_is_accepted(mistake, key, value, accepted):
    line = mistake(yaml.safe_dump(changed(key, value)))
    assert f"params.yaml: {key} = {value!r}: " in line
    assert accepted in line


BAD_TITLES = ("", " a", "a\nb", "\x1b[2J", "x" * 41, "a\u202eb", 7)


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("datasets.chestmnist.md5", "xyz", "pattern"),
        ("datasets.chestmnist.files.pixels_64.md5", "xyz", "pattern"),
        ("datasets.chestmnist.phantom.train", 3, "greater than or equal to 10"),
        ("datasets", {}, "at least 1 item"),
        *(("datasets.chestmnist.title", title, "1 to 40 printable") for title in BAD_TITLES),
        ("datasets.chestmnist.positive", "healthy", "not 'healthy'"),
    ],
)
def test_a_bad_value_of_a_data_set_is_named_too(datasets_mistake, key, value, accepted):
    line = datasets_mistake(yaml.safe_dump(changed(key, value, DATASETS)))
    assert f"datasets.yaml: {key} = {value!r}: " in line
    assert accepted in line


@pytest.mark.parametrize("block", ["", "runs.pneumonia."])
def test_an_unknown_augmentation_is_named_with_its_position(mistake, block):
    line = mistake(yaml.safe_dump(changed(f"{block}augment", ["move", "flip"])))
    assert f"params.yaml: {block}augment.1 = 'flip': " in line
    assert "'move', 'reframe', 'sharpen' or 'expose'" in line


@pytest.mark.parametrize(
    ("key", "accepted"),
    [
        ("learning_rate", "lr, schedule, epochs"),
        ("runs.pneumonia.learning_rate", "dataset, init, lr"),
        ("efficiency.seeds", "labels, val_share, runs"),
        ("comparison.questions.0.versus", "run, against"),
        ("runs.pneumonia.settings", "dataset, init, lr"),
        ("runs.pneumonia.trainings", "dataset, init, lr"),  # of all runs alike: they are paired
        ("defaults", "lr, schedule, epochs"),
        ("datasets", "source, pixels, seed"),
    ],
)
def test_an_unknown_key_is_named_with_the_known_ones(mistake, key, accepted):
    line = mistake(yaml.safe_dump(changed(key, 1)))
    assert f"params.yaml: {key} is not a parameter; accepted here: " in line
    assert accepted in line


@pytest.mark.parametrize(
    ("key", "accepted"),
    [
        ("datasets.chestmnist.adress", "title, positive, findings"),
        ("datasets.chestmnist.phantom.sede", "seed, train, val, test"),
    ],
)
def test_an_unknown_key_of_a_data_set_is_named_too(datasets_mistake, key, accepted):
    line = datasets_mistake(yaml.safe_dump(changed(key, 1, DATASETS)))
    assert f"datasets.yaml: {key} is not a parameter; accepted here: " in line
    assert accepted in line


@pytest.mark.parametrize("name", ["labels", "int"])
def test_an_unknown_key_of_a_run_that_is_named_like_a_parameter_or_a_type(mistake, name):
    values = changed(f"runs.{name}", VALUES["runs"]["pneumonia"] | {"learning_rate": 1})
    line = mistake(yaml.safe_dump(values))
    assert f"runs.{name}.learning_rate is not a parameter; accepted here: dataset, init" in line


@pytest.mark.parametrize("key", ["lr", "trainings", "runs.pneumonia.init", "efficiency"])
def test_a_missing_key_is_named(mistake, key):
    assert f"params.yaml: {key} is missing" in mistake(yaml.safe_dump(changed(key, ...)))


def test_a_layer_that_no_network_has_is_named_before_anything_is_trained(mistake, load):
    line = mistake(yaml.safe_dump(changed("gradcam.layer", "frist")))
    accepted = line.partition("accepted: last, ")[2].split(", ")
    network = Classifier()
    assert accepted == [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    assert load(yaml.safe_dump(changed("gradcam.layer", accepted[0]))).gradcam.layer == accepted[0]


def test_a_renamed_key_is_named_rather_than_called_missing(mistake):
    values = {**changed("lr", ...), "learning_rate": 0.01}
    assert "params.yaml: learning_rate is not a parameter" in mistake(yaml.safe_dump(values))


@pytest.mark.parametrize("key", ["datasets", "datasets.chestmnist.title"])
def test_a_missing_key_of_a_data_set_is_named_too(datasets_mistake, key):
    line = datasets_mistake(yaml.safe_dump(changed(key, ..., DATASETS)))
    assert f"datasets.yaml: {key} is missing; it must be given" in line


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("runs.pneumonia.init", "imagenet", "scratch, autoencoder"),
        ("runs.pneumonia.init", "pneumonia", "scratch, autoencoder"),  # itself
        ("efficiency.runs", ["frozen", "nobody"], "pneumonia, lowdata"),
        ("comparison.questions.0.run", "nobody", "pneumonia, lowdata"),
        ("comparison.questions.0.against", "nobody", "pneumonia, lowdata"),
        ("comparison.spaces.transfer", ["nobody"], "pneumonia, lowdata"),
    ],
)
def test_a_reference_to_nothing_is_named(mistake, key, value, accepted):
    line = mistake(yaml.safe_dump(changed(key, value), sort_keys=False))
    name = value[-1] if isinstance(value, list) else value
    assert f"params.yaml: {key}: {name!r} is unknown; accepted: " in line
    assert accepted in line


@pytest.mark.parametrize(
    ("inits", "circle"),
    [
        ({"chest": "frozen"}, "chest starts from frozen, which starts from chest: a circle"),
        (
            {"chest": "lowdata", "lowdata": "frozen", "pneumonia": "lowdata"},
            "lowdata starts from frozen, which starts from chest, which starts from lowdata:",
        ),
    ],
)
def test_runs_that_start_from_each_other_are_named(mistake, inits, circle):
    values = changed("seed", 0)
    for run, start in inits.items():
        values["runs"][run]["init"] = start
    line = mistake(yaml.safe_dump(values, sort_keys=False))
    assert f"params.yaml: runs: {circle}" in line
    assert line.endswith(": a circle; accepted: starts that lead to scratch or autoencoder")


@pytest.mark.parametrize(
    "key",
    ["runs.pneumonia.dataset", "autoencoder.dataset"],
)
def test_a_data_set_that_is_not_declared_is_named(tmp_path, key):
    """By stage `configure`, on which all trainings depend, and by the command `check`. Only the two
    files together show it."""
    values = changed(key, "retinamnist")
    values["comparison"] = {"questions": [], "spaces": {}}
    params, datasets = tmp_path / "params.yaml", ROOT / "datasets.yaml"
    params.write_text(yaml.safe_dump(values))
    lines = [
        refusal(lambda path: configure(SUBJECT, path, datasets, tmp_path / "out"), params),
        refusal(lambda path: check.main(options(params=path, datasets=datasets)), params),
    ]
    accepted = ", ".join(DATASETS["datasets"])
    expected = f"{params}: {key}: 'retinamnist' is unknown; accepted: {accepted}"
    assert lines == [expected, expected]
    assert list(tmp_path.iterdir()) == [params]


def test_a_subject_that_is_not_a_run_is_named(tmp_path):
    files = ROOT / "params.yaml", ROOT / "datasets.yaml"
    line = refusal(lambda subject: configure(subject, *files, tmp_path), "pneumo")
    assert line.startswith("run: 'pneumo' is unknown; accepted: pneumonia, lowdata")


def test_the_command_check_is_silent_about_good_files(capsys, monkeypatch):
    for who in ("AUTHOR", "COMMITTER"):  # or it would say that it has given this clone a name
        monkeypatch.setenv(f"GIT_{who}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "somebody@localhost")
    check.main(options(params=ROOT / "params.yaml", datasets=ROOT / "datasets.yaml"))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("comparison.questions.0.against", "pneumonia"),
        ("comparison.spaces.lowdata", ["lowdata_autoencoder", "pneumonia"]),
    ],
)
def test_runs_on_different_images_cannot_be_paired(mistake, key, value):
    line = mistake(yaml.safe_dump(changed(key, value)))
    said = "lowdata_autoencoder and pneumonia are tested on 'chestmnist' and 'pneumoniamnist'"
    assert f"params.yaml: {key.removesuffix('.against')}: {said}; accepted: " in line


def test_the_first_of_two_mistakes_is_reported_by_itself(datasets_mistake):
    values = changed("datasets.pneumoniamnist.findings", "one", DATASETS)
    values["datasets"]["chestmnist"]["md5"] = "xyz"
    line = datasets_mistake(yaml.safe_dump(values, sort_keys=False))
    assert "datasets.pneumoniamnist.findings = 'one': Input should be a valid integer" in line
    assert "pattern" not in line, "what is accepted of another key"


@pytest.mark.parametrize("text", ["lr: [1", "a: b: c", "\tlr: 1", "{", "lr: !!python/object:os {}"])
def test_what_is_not_yaml_is_refused(mistake, datasets_mistake, text):
    assert "params.yaml is not YAML: " in mistake(text)
    assert "datasets.yaml is not YAML: " in datasets_mistake(text)


@pytest.mark.parametrize("text", ["", "# nothing", "- lr", "lr"])
def test_what_is_not_a_mapping_is_refused(mistake, datasets_mistake, text):
    assert "params.yaml: the file = " in mistake(text)
    assert "datasets.yaml: the file = " in datasets_mistake(text)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    for encoding in ("latin-1", "utf-16"):
        (tmp_path / "params.yaml").write_bytes("# für später\nlr: 0.01\n".encode(encoding))
        with pytest.raises(UserError, match=r"params\.yaml is not YAML: 'utf-8' codec"):
            reading.params(tmp_path / "params.yaml")


def test_a_byte_order_mark_is_no_mistake(load):
    assert load("\ufeff" + (ROOT / "params.yaml").read_text()).lr == VALUES["lr"]


LAUGHS = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20))
LAUGHS = f"a0: &a0 [x, x]\n{LAUGHS}lr: *a19"  # 9 to the power of 19 values
UNREADABLE = {  # what would be overlooked, or exhaust the parser or the memory
    "twice": ("lr: 1\nseed: 0\nlr: 2", ": 'lr' is given twice, in lines 1 and 3; accepted: once"),
    "twice within": ("a: [{b: 1,\n 'b': 2}]", ": 'b' is given twice, in lines 1 and 2"),
    "digits": (f"lr: {'9' * 5000}", ": line 1: '99999999999999999999'... is too long; accepted: "),
    "hexadecimal": (f"lr: 0x{'f' * 5000}", ": line 1: '0xffffffffffffffffff'... is too long"),
    "nested": (f"lr: {'[' * 20_000}{']' * 20_000}", ": line 1 is nested too deeply; accepted: 20"),
    "nested in lines": ("- " * 20_000, ": line 1 is nested too deeply; accepted: 20 blocks"),
    "nested until a crash": ("[" * 500_000, ": line 1 is nested too deeply"),
    "in itself": ("lr: &a [*a]", ": line 1: *a stands for what it is in"),
    "aliases of aliases": (LAUGHS, ": holds more than 100,000 values, aliases (*) written out"),
    "large": ("#" * 2_000_000, " is too large; accepted: up to 1,000,000 bytes"),
    "date": ("lr: 2001-13-45", " is not YAML: '2001-13-45' cannot be read as timestamp"),
    "binary": ("lr: 0b_", " is not YAML: '0b_' cannot be read as int"),
    "boolean": ("lr: !!bool x", " is not YAML: 'x' cannot be read as bool"),
    "no integer": ("lr: !!int ''", " is not YAML: '' cannot be read as int"),
    "octal or not": (
        "seed: 010",
        ": line 1: 010 is not the same number to DVC as here; accepted: a",
    ),
    "base 60 or not": ("epochs: 1:30", ": line 1: 1:30 is not the same number to DVC as here"),
    "control character": ("lr: \0", " is not YAML: "),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_text_that_no_parser_should_be_given_is_refused(mistake, datasets_mistake, kind):
    text, said = UNREADABLE[kind]
    assert f"params.yaml{said}" in mistake(text)
    assert f"datasets.yaml{said}" in datasets_mistake(text)


def test_a_merged_block_is_read_and_its_keys_may_be_given_again(load):
    declared = "{dataset: chestmnist, init: scratch, lr: 0.5, epochs: 5}"
    added = f"runs:\n  one: &one {declared}\n  two: {{<<: *one, epochs: 3}}\n"
    params = load((ROOT / "params.yaml").read_text().replace("runs:\n", added, 1))
    assert params.runs["two"] == params.runs["one"].model_copy(update={"epochs": 3})


def test_a_message_stays_one_short_line(mistake):
    line = mistake(yaml.safe_dump(changed("lr", ["x"] * 900)))
    assert "lr = ['x', 'x', " in line and "...: Input should be a valid number" in line
    line = mistake(yaml.safe_dump(changed("latent.a\nb\x1b", 1)))
    assert r"latent.'a\nb\x1b' is not a parameter; accepted here: images" in line


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", "0.001", "+1e-3", ".001"])
def test_numbers_in_every_notation(load, text):
    source = (ROOT / "params.yaml").read_text()
    assert load(source.replace("\nlr: 0.01", f"\nlr: {text}")).lr == 0.001


# ------------------------------------------------------------------------------------------ names

BAD_NAMES = ["", "../x", "../../x", "a;touch PWNED", "$(touch PWNED)", "a b", "a.b", "a/b", "a\n"]
BAD_NAMES += ["-a", "_a", "1a", "größe", "a@b", "a{b}", "x" * 41, 1, True, None]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_what_is_no_name_is_refused_wherever_one_is_declared(mistake, datasets_mistake, name):
    for key, entry in (
        ("runs", VALUES["runs"]["chest"]),
        ("comparison.spaces", ["chest"]),
    ):
        values = copy.deepcopy(VALUES)
        block = values[key] if key == "runs" else values[key.split(".")[0]][key.split(".")[1]]
        block[name] = entry
        line = mistake(yaml.safe_dump(values, sort_keys=False))
        assert f"params.yaml: {key}: {name!r} is not a name; accepted: 1 to 40 of the " in line
        assert "characters A-Z, a-z, 0-9, _ and -, a letter first" in line
        assert ("reserved: scratch, autoencoder" in line) == (key == "runs")
    values = copy.deepcopy(DATASETS)
    values["datasets"][name] = DATASETS["datasets"]["chestmnist"]
    line = datasets_mistake(yaml.safe_dump(values, sort_keys=False))
    assert f"datasets.yaml: datasets: {name!r} is not a name; accepted: 1 to 40 of the " in line


@pytest.mark.parametrize("name", ["a", "Chest-2_b", "x" * 40])
def test_names_of_letters_digits_and_two_signs_are_accepted(load, name):
    values = changed(f"runs.{name}", VALUES["runs"]["chest"])
    values["comparison"]["spaces"][name] = [name]
    assert name in load(yaml.safe_dump(values)).runs


@pytest.mark.parametrize("name", ["autoencoder", "scratch", "Scratch"])
def test_a_run_cannot_take_a_reserved_name(mistake, load, name):
    line = mistake(yaml.safe_dump(changed(f"runs.{name}", VALUES["runs"]["chest"])))
    assert f"params.yaml: runs: {name!r} is reserved; accepted: 1 to 40 of the characters" in line
    assert line.endswith("; reserved: scratch, autoencoder")
    spaces = changed(f"comparison.spaces.{name}", ["chest"])
    assert name in load(yaml.safe_dump(spaces)).comparison.spaces, "a space shares no folder"


def test_the_reserved_names_are_those_of_other_outputs_beside_a_runs():
    """Of dvc.yaml: what a run's name would make of `models/${key}` is there already."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    taken, patterns = set(), set()
    for stage_ in stages.values():
        body = stage_.get("do", stage_)
        for out in (out for kind in ("outs", "metrics") for out in body.get(kind, [])):
            path = Path(out if isinstance(out, str) else next(iter(out)))
            is_of_run = stage_.get("foreach") == "${runs}"
            (patterns if is_of_run else taken).add((path.parent, path.name))
    found = {name for folder, name in taken for p, _ in patterns if folder == p}
    assert found == set(RESERVED)


def test_names_that_differ_in_capitals_alone_are_refused(mistake, datasets_mistake):
    line = mistake(yaml.safe_dump(changed("runs.Chest", VALUES["runs"]["chest"]), sort_keys=False))
    assert "params.yaml: runs: chest and Chest differ in capitals alone; accepted: " in line
    values = changed("datasets.ChestMNIST", DATASETS["datasets"]["chestmnist"], DATASETS)
    line = datasets_mistake(yaml.safe_dump(values, sort_keys=False))
    assert "datasets.yaml: datasets: chestmnist and ChestMNIST differ in capitals alone" in line


# ------------------------------------------------------------------------------ what cannot be held


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"source": "medmnist", "pixels": 224, "width": 256, "blocks": 1, "batch_size": 65536},
            "runs.pneumonia: a batch of 65,536 images of 224 pixels needs about 16,836 GB",
        ),
        (
            {"pixels": 224, "width": 256, "blocks": 1, "autoencoder": {"code": 50176}},
            "autoencoder.code: a code of 50,176 numbers needs about 5,156 GB",
        ),
    ],
)
def test_what_no_memory_can_hold_is_refused_with_what_there_is(tmp_path, given, said):
    values = {k: VALUES[k] | v if isinstance(v, dict) else v for k, v in given.items()}
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(VALUES | values, sort_keys=False))
    files = options(params=params, datasets=ROOT / "datasets.yaml")
    line = refusal(lambda given: check.main(given), files)
    assert line.startswith(said)
    assert re.search(r"; this machine has [\d,]+ GB of memory; accepted: less$", line)


def test_a_phantom_that_no_disk_can_hold_is_refused_before_it_is_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = reading.params(ROOT / "params.yaml").model_copy(update={"pixels": 224})
    declared = reading.datasets(ROOT / "datasets.yaml")
    phantom = Phantom(seed=0, train=400_000, val=50_000, test=50_000)
    large = {"chestmnist": declared["chestmnist"].model_copy(update={"phantom": phantom})}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: argparse.Namespace(free=54 * 10**9))
    line = refusal(lambda datasets: check.fit(params, datasets), large)
    said = "datasets.chestmnist.phantom: 500,000 images of 224 pixels needs about 125 GB; this"
    assert line == f"{said} machine has 54 GB free on its disk; accepted: less"
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "data/raw/chestmnist.npz").touch()
    check.fit(params, large)  # it has been drawn


def test_a_phantom_larger_than_its_archive_may_be_is_refused(datasets_mistake):
    values = changed("datasets.chestmnist.phantom.train", 10**12, DATASETS)
    line = datasets_mistake(yaml.safe_dump(values))
    assert "datasets.yaml: datasets.chestmnist.phantom = {" in line
    assert "1,000,000,001,600 images in all; accepted: up to 500,000" in line
    assert MOST_IMAGES == archive.MAX_IMAGES


@pytest.mark.parametrize(
    ("key", "value", "what", "factor"),
    [
        ("batch_size", 256, "runs.pneumonia", 2),
        ("width", 16, "runs.chest", 2),
        ("runs.chest.width", 16, "runs.chest", 2),
        ("pixels", 64, "runs.chest", (64 / 28) ** 2),
        ("runs.lowdata.batch_size", 60_000, "runs.lowdata", 300 / 128),  # it has no more labels
        ("runs.chest.batch_size", 60_000, "runs.chest", 5000 / 128),  # nor more images
        ("autoencoder.batch_size", 32, "autoencoder", 1 / 2),
        ("autoencoder.code", 30, "autoencoder.code", 3),
        ("trainings", 10, "runs.pneumonia", 1),  # one after another
    ],
)
def test_the_memory_needed_follows_what_is_declared(load, key, value, what, factor):
    datasets = reading.datasets(ROOT / "datasets.yaml")
    usual, now = (
        {need.what.split(":")[0]: need.amount for need in needs.memory(params, datasets)}
        for params in (load(yaml.safe_dump(values)) for values in (VALUES, changed(key, value)))
    )
    assert now[what] == pytest.approx(factor * usual[what])
    assert max(usual.values()) < 10**8, "less than 100 MB"


# ------------------------------------------------------------------------------------ its content


def test_a_run_has_the_top_level_settings_overruled_by_its_own(load):
    values, declared = copy.deepcopy(VALUES), VALUES["runs"][SUBJECT]
    own = {"lr": 0.5, "epochs": 3, "patience": 2, "labels": 40, "augment": []}
    values["runs"] |= {"own": declared | own}
    params = load(yaml.safe_dump(values))
    usual, mine = (settings_of(params, run) for run in (SUBJECT, "own"))
    shared = {key: VALUES[key] for key in {*schema.Settings.model_fields, *COMMON}}
    assert {"seed", "trainings", "threads", "processes", "timing"} == COMMON
    assert usual == shared | declared | {"name": SUBJECT}
    assert mine == shared | declared | own | {"name": "own"}
    for complete in (usual, mine):
        assert schema.Training(**complete).model_dump() == complete, "nothing is left to be guessed"


def test_configure_writes_the_settings_of_every_training(tmp_path):
    configure(SUBJECT, ROOT / "params.yaml", ROOT / "datasets.yaml", tmp_path)
    everything = json.loads((tmp_path / "all.json").read_text())
    params = reading.params(ROOT / "params.yaml")
    assert everything["subject"] == SUBJECT
    assert list(everything["runs"]) == list(VALUES["runs"]), "in their order"
    for kind in ("runs", "efficiency"):
        assert {path.stem for path in (tmp_path / kind).iterdir()} == set(VALUES["runs"])
    wanted = VALUES["efficiency"]
    for name, declared in params.runs.items():
        training = reading.training(tmp_path / f"runs/{name}.json")
        assert training.model_dump() == everything["runs"][name] == settings_of(params, name)
        assert (training.name, training.dataset) == (name, declared.dataset)
        points = reading.points(tmp_path / f"efficiency/{name}.json")
        assert points.labels == (wanted["labels"] if name in wanted["runs"] else [])
        assert points.val_share == wanted["val_share"]
    pretraining = reading.pretraining(tmp_path / "autoencoder.json")
    common = {key: VALUES[key] for key in ("width", "blocks", "seed", "trainings", "threads")}
    assert pretraining.model_dump() == VALUES["autoencoder"] | common == everything["autoencoder"]


ALL = {f"runs/{run}" for run in VALUES["runs"]}
LOW = {f"runs/{run}" for run, own in VALUES["runs"].items() if "lr" in own}  # with their own rate


@pytest.mark.parametrize(
    ("key", "value", "reached"),
    [
        ("lr", 0.003, ALL - LOW),
        ("runs.frozen.lr", 0.003, {"runs/frozen"}),
        ("autoencoder.lr", 0.003, {"autoencoder"}),
        ("weight_decay", 0.003, ALL),  # which the autoencoder has to itself
        ("trainings", 2, ALL | {"autoencoder"}),
        ("width", 4, ALL | {"autoencoder"}),
        ("efficiency.runs", [*VALUES["efficiency"]["runs"], "chest"], {"efficiency/chest"}),
        ("efficiency.runs", VALUES["efficiency"]["runs"][1:], {"efficiency/lowdata"}),
        ("gradcam.images", 4, set()),
        ("pixels", 64, set()),
    ],
)
def test_a_change_reaches_exactly_the_trainings_it_concerns(tmp_path, key, value, reached):
    """DVC reruns what depends on a file that has changed."""
    assert LOW and ALL - LOW
    written = []
    for name, values in (("before", VALUES), ("after", changed(key, value))):
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        out = tmp_path / name
        configure(SUBJECT, tmp_path / "params.yaml", ROOT / "datasets.yaml", out)
        files = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.json")}
        written.append(files)
    before, after = written
    assert before.keys() == after.keys()
    differing = {name.removesuffix(".json") for name in before if before[name] != after[name]}
    assert differing - {"all"} == reached
    assert ("all" in differing) == any(not name.startswith("efficiency") for name in reached)


def test_other_numbers_of_labels_reach_the_curves_of_the_runs_that_have_one(tmp_path):
    written = []
    for labels in (VALUES["efficiency"]["labels"], [50, 70]):
        values = changed("efficiency.labels", labels)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        configure(SUBJECT, tmp_path / "params.yaml", ROOT / "datasets.yaml", tmp_path / "out")
        written.append({p: p.read_bytes() for p in (tmp_path / "out").rglob("*.json")})
    differing = {path.stem for path, text in written[0].items() if text != written[1][path]}
    assert differing == set(VALUES["efficiency"]["runs"])


def test_no_parameter_has_a_name_that_dvc_overlooks():
    """DVC's run cache ignores keys of these names, as if they were those of dvc.lock: after a new
    value it would bring back the result of the old one."""

    def names(block) -> set[str]:
        blocks = block.values() if isinstance(block, dict) else block
        if not isinstance(block, dict | list):
            return set()
        return set(block if isinstance(block, dict) else ()).union(*map(names, blocks))

    assert not {"size", "nfiles"} & (names(VALUES) | names(DATASETS))


@pytest.mark.parametrize("dataset", DATASETS["datasets"])
def test_datasets_are_those_that_medmnist_declares(dataset):
    declared, info = DATASETS["datasets"][dataset], INFO[dataset]
    for size, suffix in ((28, ""), (64, "_64"), (128, "_128"), (224, "_224")):
        file = reading.datasets(ROOT / "datasets.yaml")[dataset].file(size)
        assert (file.url, file.md5) == (info[f"url{suffix}"], info[f"MD5{suffix}"])
    assert declared["title"] == info["python_class"]
    labels = 1 if "binary-class" in info["task"] and "multi" not in info["task"] else None
    assert declared["findings"] == (labels or len(info["label"]))


def test_a_file_of_your_own_replaces_those_of_every_size(load_datasets, datasets_mistake):
    values = changed("datasets.chestmnist.url", "../images.npz", DATASETS)
    line = datasets_mistake(yaml.safe_dump(values))
    assert "datasets.chestmnist.url and datasets.chestmnist.md5 go together" in line
    values["datasets"]["chestmnist"]["md5"] = "0" * 32
    for size in (28, 224):
        own = load_datasets(yaml.safe_dump(values))["chestmnist"].file(size)
        assert (own.url, own.md5, own.bytes) == ("../images.npz", "0" * 32, None)


BREAST = {  # as docs/data.md shows it
    "title": "BreastMNIST",
    "positive": "malignant",
    "findings": 1,
    "classes": 2,
    "diseased": [0],
    "url": INFO["breastmnist"]["url"],
    "md5": INFO["breastmnist"]["MD5"],
    "files": None,
    "phantom": None,
}


def test_the_entry_that_the_documentation_shows_is_accepted(load_datasets):
    text = re.search(r"(?s)```yaml\n(  breastmnist:.*?)```", (ROOT / "docs/data.md").read_text())
    assert yaml.safe_load(text[1]) == {"breastmnist": BREAST}
    found = load_datasets(yaml.safe_dump({"datasets": {"breastmnist": BREAST}}))["breastmnist"]
    assert found.file(28).md5 == INFO["breastmnist"]["MD5"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"classes": 4, "diseased": [0, 1, 2]}, ""),
        ({"findings": 14, "diseased": list(range(14))}, ""),
        ({"diseased": None}, ""),
        ({"diseased": []}, "diseased = []"),
        (
            {"diseased": [2]},
            "diseased = [2]; accepted: labels from 0 to 1, not all, or null",
        ),
        ({"diseased": [0, 1]}, "accepted: labels from 0 to 1, not all"),
        ({"findings": 14, "diseased": [14]}, "accepted: columns from 0 to 13, or null"),
        ({"findings": 14, "classes": 3}, "classes = 3; accepted of several findings: 2"),
        ({"classes": 257}, "less than or equal to 256"),
        (
            {"url": None, "md5": None},
            "breast names no file; accepted: datasets.breast.url",
        ),
    ],
)
def test_which_labels_count_as_diseased(load_datasets, datasets_mistake, changes, expected):
    text = yaml.safe_dump({"datasets": {"breast": BREAST | changes}})
    if expected:
        assert expected in datasets_mistake(text)
    else:
        assert "breast" in load_datasets(text)


def test_sizes_that_a_data_set_does_not_have_are_refused(load_datasets):
    files = {"pixels_64": {"url": "a.npz", "md5": "0" * 32}}
    values = BREAST | {"url": None, "md5": None, "files": files}
    found = load_datasets(yaml.safe_dump({"datasets": {"breast": values}}))["breast"]
    assert found.file(64).url == "a.npz"
    assert refusal(found.file, 28) == "pixels = 28; accepted for BreastMNIST: 64"


def test_a_data_set_by_a_name_that_is_unknown_is_refused_with_those_there_are():
    line = refusal(lambda key: reading.dataset(ROOT / "datasets.yaml", key), "retinamnist")
    assert line == "dataset: 'retinamnist' is unknown; accepted: pneumoniamnist, chestmnist"


def test_findings_of_the_phantom_are_chestmnists_in_its_order():
    assert list(findings.FINDINGS) == list(INFO["chestmnist"]["label"].values())


# --------------------------------------------------------------------------------------- the sweep


@pytest.mark.parametrize(
    "changes, said",
    [
        ("{lr: 5}", "configurations.b: lr = 5: Input should be less than or equal to 1"),
        ("{learning_rate: 0.1}", "configurations.b: learning_rate is not a parameter; accepted"),
        ("{trainings: 2}", "configurations.b: trainings: 'trainings' is unknown; accepted: lr, s"),
        ("3", "configurations.b = 3: Input should be a valid dictionary"),
        ("{pixels: 64}", "configurations.b: pixels: 'pixels' is unknown; accepted: lr, schedule"),
        ("{}\n  ../b: {}", "configurations: '../b' is not a name; accepted: 1 to 40 of the char"),
        ("{}\n  b.lock: {}", "configurations: 'b.lock' is not a name; accepted: "),
        ("{}\n  b;c: {}", "configurations: 'b;c' is not a name; accepted: "),
        ("{}\n  b: {}", "'b' is given twice, in lines 5 and 6; accepted: once"),
    ],
)
def test_a_mistake_in_the_grid_is_named(load, tmp_path, changes, said):
    grid = tmp_path / "grid.yaml"
    grid.write_text(f"best: 1\ntrainings: 2\nconfigurations:\n  a: {{}}\n  b: {changes}\n")
    with pytest.raises(UserError) as error:
        reading.grid(grid, load(yaml.safe_dump(VALUES)))
    assert f"grid.yaml: {said}" in str(error.value)


def test_the_declared_grid_begins_with_the_plain_one(load):
    grid = reading.grid(ROOT / "sweep/grid.yaml", load(yaml.safe_dump(VALUES)))
    name, changes = next(iter(grid.configurations.items()))
    assert (name, changes["schedule"], changes["augment"]) == ("plain", "constant", [])
    assert len(grid.configurations) >= 12


# ------------------------------------------------------------------------------------- the scripts


def command_line(script: str, params: Path) -> list[str]:
    """Arguments of a stage's script: these parameters, and paths none of which exists."""
    function, words = function_of(script), []
    for name, argument in inspect.signature(function).parameters.items():
        if name in ("params", *stage.params_of(function)):
            continue
        if argument.annotation is str:
            words.append("some")
        else:
            words += [f"--{name}", str(params.parent / "no" / name)]
    return [*words, "--params", str(params)]


def test_most_scripts_read_parameters():
    assert {"configure", "download", "evaluate", "compare", "report"} <= set(READERS)


@pytest.mark.parametrize("script", READERS)
def test_a_script_refuses_bad_parameters_before_it_reads_data(script, tmp_path, monkeypatch, capfd):
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(changed("lr", "fast")))
    monkeypatch.setattr(sys, "argv", [script, *command_line(script, params)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / f"stages/{script}.py"), run_name="__main__")
    assert str(ended.value).startswith(f"{script}: {params}: lr = 'fast': ")
    assert "\n" not in str(ended.value)
    assert list(tmp_path.iterdir()) == [params]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("words", [["stages.configure"], ["chestflow", "check"]])
def test_a_script_ends_with_one_line_on_stderr_and_exit_code_1(tmp_path, words):
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(changed("lr", "fast")))
    name = words[-1].removeprefix("stages.")
    given = ["--params", str(params)] if name == "check" else command_line(name, params)
    command = [sys.executable, "-m", *words, *given]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith(f"{name}: ")
