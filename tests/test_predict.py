"""Asking a run about your own images, as a user does: files in, a table and pictures out."""

import argparse
import dataclasses
import json
import os
import re
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import skimage
import small_run
import torch
from PIL import Image
from safetensors.torch import save as as_bytes
from test_radiograph import in_every_format

from chestflow import files
from chestflow.errors import UserError
from chestflow.metrics import prevalence, scores
from chestflow.models import checkpoint, cnn, inference
from chestflow.own_images import out_of_distribution, overlay, pixels, predict, radiograph
from stages import evaluate

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "camera")  # come with scikit-image


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, shrunken, splits) -> Path:
    return small_run.build(tmp_path_factory.mktemp("workspace"), shrunken, splits)


@pytest.fixture
def ask(workspace, monkeypatch, capsys):
    """The command in this process: its JSON."""

    def asked(*words: object) -> dict:
        monkeypatch.chdir(workspace)
        parser = argparse.ArgumentParser()
        predict.add_arguments(parser)
        predict.main(parser.parse_args(["--run", "pneumonia", *map(str, words), "--json"]))
        return json.loads(capsys.readouterr().out)

    return asked


def write(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


# ---------------------------------------------------------------------- the command, as it is run


@pytest.fixture(scope="module")
def said(workspace, splits, tmp_path_factory):
    """What the command says of good images in two folders, of no images, and of a wide one."""
    given = tmp_path_factory.mktemp("given")
    images = splits["test"].images
    for i, name in enumerate(("a/image.png", "b/image.png")):
        write(given / name, images[i])
    write(given / "wide.jpg", np.pad(images[2].repeat(20, 0).repeat(20, 1), ((0, 0), (90, 70))))
    write(given / "noise.png", np.random.default_rng(0).integers(0, 256, (99, 99), np.uint8))
    write(given / "blank.png", np.full((50, 50), 9, np.uint8))
    (given / "empty.png").touch()
    (given / "cut.jpg").write_bytes((given / "wide.jpg").read_bytes()[:900])
    ended = small_run.call(workspace, "predict", "--run", "pneumonia", given, "missing.png")
    return given, ended


def test_every_image_gets_a_row_and_every_unreadable_file_a_line(said):
    given, ended = said
    rows = [line for line in ended.stdout.splitlines() if line.startswith(str(given))]
    assert [row.split()[0] for row in rows] == [
        str(given / name) for name in ("a/image.png", "b/image.png", "noise.png", "wide.jpg")
    ]
    errors = ended.stderr.splitlines()
    assert [line.split(": ")[1] for line in errors] == [
        *(str(given / name) for name in ("blank.png", "cut.jpg", "empty.png")),
        "missing.png",
    ]
    assert all(line.startswith("predict: ") for line in errors)
    assert ended.returncode == 1, "a script has to notice that images are missing"


def test_a_table_says_what_it_is_about(said):
    table = said[1].stdout
    assert "run pneumonia, trained on PneumoniaMNIST PHANTOM" in table
    assert "nothing about patients" in table and "not for diagnosis" in table
    (noise,) = [line for line in table.splitlines() if "/noise.png" in line]
    assert "UNLIKE THE TRAINING IMAGES: TREAT THE ANSWER AS A GUESS" in noise
    assert table.count("UNLIKE") == 1


def test_overlays_of_one_name_stay_apart(said, workspace, splits):
    table = said[1].stdout
    names = re.findall(r"(image-[0-9a-f]{8}\.png)", table)
    assert len(set(names)) == 2
    pictures = [Image.open(workspace / "predictions/pneumonia" / name) for name in names]
    assert not np.array_equal(*map(np.asarray, pictures))
    for picture in pictures:
        assert "PHANTOM" in picture.info["Comment"] and "not for" in picture.info["Comment"]
    assert not list((workspace / "predictions").rglob("*.part"))


def test_nothing_but_json_is_on_stdout(workspace, splits, tmp_path):
    path = write(tmp_path / "image.png", splits["test"].images[0])
    ended = small_run.call(
        workspace, "predict", "--run", "pneumonia", path, "--out", tmp_path, "--json"
    )
    report = json.loads(ended.stdout)
    assert ended.returncode == 0 and ended.stderr == ""
    assert "PHANTOM" in report["notice"] and "not for diagnosis" in report["notice"]
    (row,) = report["images"]
    assert report["failed"] == [] and Path(row["overlay"]).parent == tmp_path / "pneumonia"
    assert row["seen"] == [0, 0, 28] and row["size"] == [28, 28]


# --------------------------------------------------------------------------- what it answers


def test_an_image_of_the_data_set_gets_its_own_prediction(ask, workspace, splits, tmp_path):
    for i, image in enumerate(splits["test"].images[:40]):
        write(tmp_path / f"{i:02}.png", image)
    report = ask(tmp_path, "--out", tmp_path / "out")
    known = files.read_csv(workspace / "data/results/pneumonia/predictions.csv")["probability"][:40]
    settled = files.read_json(workspace / "metrics/runs/pneumonia.json")
    classifier = checkpoint.load_classifier(workspace / "models/pneumonia")
    raw = inference.probabilities(classifier, torch.from_numpy(splits["test"].images[:40]))
    expected = scores.calibrated(raw, *settled["calibration"])
    threshold = settled["at_val_threshold"]["threshold"]
    assert len(report["images"]) == 40 > predict.BATCH, "more than one batch"
    assert [row["raw_probability"] for row in report["images"]] == pytest.approx(known, abs=2e-6)
    assert [row["probability"] for row in report["images"]] == pytest.approx(expected, abs=2e-6)
    tabled = scores.calibrated(np.array(known), *settled["calibration"])
    assert expected == pytest.approx(tabled, abs=1e-3), "the table has six digits"
    decided = [row["decision"] == "pneumonia" for row in report["images"]]
    assert decided == [p >= threshold for p in known] and len(set(decided)) == 2
    on_one_scale = [row["probability"] >= report["threshold"] for row in report["images"]]
    assert on_one_scale == decided


def test_the_same_picture_in_every_format_gets_the_same_answer(ask, splits, tmp_path):
    square = Image.fromarray(splits["test"].images[3]).resize((220, 220), Image.BICUBIC)
    picture = np.pad(np.asarray(square), ((0, 0), (40, 40)))
    picture[0, 60] = 255  # files of more bits would else be taken to be darker
    files = in_every_format(tmp_path, picture)
    report = ask(*(path for path, _ in files.values()), "--out", tmp_path / "out")
    answers = {row["image"]: row["probability"] for row in report["images"]}
    assert len(answers) == len(files) and not report["failed"]
    assert max(answers.values()) - min(answers.values()) < 0.05, answers


def test_a_large_image_gets_the_answer_of_its_original(ask, splits, tmp_path):
    images = splits["test"].images[:12]
    for i, image in enumerate(images):
        large = Image.fromarray(image).resize((700, 700), Image.BICUBIC)
        write(tmp_path / f"{i:02}-large.png", np.pad(np.asarray(large), ((100, 100), (0, 0))))
        write(tmp_path / f"{i:02}-small.png", image)
    rows = ask(tmp_path, "--out", tmp_path / "out")["images"]
    large, small = (np.array([row["probability"] for row in rows[k::2]]) for k in (0, 1))
    assert np.abs(large - small).mean() < 0.2  # reducing them has smoothed the phantoms' noise
    assert np.corrcoef(large, small)[0, 1] > 0.9
    assert rows[0]["seen"] == [0, 100, 700] and rows[0]["size"] == [700, 900]


def test_images_of_anything_else_are_called_unlike(ask, splits, tmp_path):
    folder = Path(skimage.__file__).parent / "data"
    rng = np.random.default_rng(0)
    write(tmp_path / "noise.png", rng.integers(0, 256, (300, 300), np.uint8))
    write(tmp_path / "negative.png", 255 - splits["test"].images[0])
    photographs = [folder / f"{name}.png" for name in PHOTOGRAPHS]
    report = ask(tmp_path, *photographs, "--out", tmp_path / "out")
    assert len(report["images"]) == 6 and all(row["unlike"] for row in report["images"])


def test_images_of_the_data_set_are_seldom_called_unlike(ask, splits, tmp_path):
    found = {}
    for split in ("val", "test"):
        for i, image in enumerate(splits[split].images[:100]):
            write(tmp_path / split / f"{i}.png", image)
        found[split] = ask(tmp_path / split, "--out", tmp_path / "out")["images"]
    assert np.mean([row["unlike"] for row in found["val"]]) < 0.1
    assert 25 < np.median([row["unlike_percentile"] for row in found["val"]]) < 75
    assert np.mean([row["unlike"] for row in found["test"]]) < 0.2, "they are of another source"


def test_asking_again_changes_nothing(ask, splits, tmp_path):
    path = write(tmp_path / "image.png", splits["test"].images[4])
    first = ask(path, "--out", tmp_path / "out")
    before = Path(first["images"][0]["overlay"]).read_bytes()
    assert ask(path, path, tmp_path, "--out", tmp_path / "out") == first
    assert Path(first["images"][0]["overlay"]).read_bytes() == before
    assert len(list((tmp_path / "out").rglob("*.*"))) == 1


# ------------------------------------------------------------------------------- how unlike


def test_percentiles_by_hand():
    found = out_of_distribution.percentiles(
        np.array([0.0, 1.0, 2.5, 4.0, 9.0]), np.arange(1.0, 5.0)
    )
    assert found.tolist() == [0, 0, 50, 75, 100]


def test_a_statistic_that_is_constant_on_all_training_images_counts(splits):
    """With their covariance as it is, its variance of 0 would leave it without weight."""
    images = torch.from_numpy(np.array(splits["train"].images))
    side = images.shape[-1] // out_of_distribution.CELLS
    images[:, :side, :side] = 128  # one of the cells
    unlikeness = out_of_distribution.fit(cnn.Classifier().eval(), images[:200], images[200:])
    woken = images[200:201].clone()
    woken[:, :side, :side] = 160
    assert unlikeness.rank(images[200:201]) < 100
    assert unlikeness.rank(woken) == 100


def test_distances_are_those_of_the_formula_and_affine_changes_of_brightness_count(splits):
    images = torch.from_numpy(np.array(splits["train"].images))
    network = cnn.Classifier(contrast="local").eval()
    unlikeness = out_of_distribution.fit(network, images[:200], images[200:])
    found = out_of_distribution.statistics(network, images[:3])
    assert found.shape == (3, 2 * (8 + 16 + 32) + out_of_distribution.CELLS**2)
    cell = images[0].double()[:4, :4].mean() / 127.5 - 1
    assert found[0, 0] == pytest.approx(float(cell), abs=1e-6)
    expected = [(x - unlikeness.mean) @ unlikeness.precision @ (x - unlikeness.mean) for x in found]
    assert unlikeness.measure(images[:3]) == pytest.approx(expected)
    assert np.median(unlikeness.rank(255 - images[200:])) == 100, "inverted"
    assert np.median(unlikeness.rank(images[200:])) == pytest.approx(50, abs=1)


# ------------------------------------------------------------------------- the share of disease


def test_a_share_moves_probabilities_and_threshold_but_no_decision(ask, splits, tmp_path):
    for i, image in enumerate(splits["test"].images[:20]):
        write(tmp_path / f"{i:02}.png", image)
    as_they_are = ask(tmp_path, "--out", tmp_path / "out")
    shifted = ask(tmp_path, "--out", tmp_path / "out", "--share", "0.3")
    share = as_they_are["share_of_probabilities"]
    assert as_they_are["share"] is None and shifted["share"] == 0.3
    assert shifted["share_of_probabilities"] == share
    before, after = (
        np.array([row["probability"] for row in report["images"]] + [report["threshold"]])
        for report in (as_they_are, shifted)
    )
    assert after == pytest.approx(prevalence.shifted(before, share, 0.3), abs=5e-6)
    assert np.abs(after - before).max() > 0.05
    for one, other in zip(as_they_are["images"], shifted["images"], strict=True):
        assert (one["decision"], one["raw_probability"]) == (
            other["decision"],
            other["raw_probability"],
        )
    on_one_scale = [row["probability"] >= shifted["threshold"] for row in shifted["images"]]
    assert on_one_scale == [row["decision"] == "pneumonia" for row in shifted["images"]]


def test_the_table_names_the_share_its_probabilities_refer_to(workspace, splits, tmp_path):
    path = write(tmp_path / "image.png", splits["test"].images[0])
    plain = small_run.call(workspace, "predict", "--run", "pneumonia", path).stdout
    assert re.search(r"of pneumonia where its share is [\d.]+ %;", plain)
    given = small_run.call(
        workspace, "predict", "--run", "pneumonia", path, "--share", "0.05"
    ).stdout
    assert re.search(r"where its share is 5 % \(--share\), shifted from [\d.]+ %;", given)
    assert "chosen on validation, shifted likewise" in given


@pytest.mark.parametrize(
    "calibration, class_weights, expected",
    [((0.9, 0.7), True, "val"), ((1.0, 0.0), True, 0.5), ((1.0, 0.0), False, "train")],
    ids=["Platt scaling", "class weights", "neither"],
)
def test_the_share_is_that_of_the_images_that_settled_the_probabilities(
    calibration, class_weights, expected, workspace, splits, monkeypatch
):
    """As stage `evaluate` writes it into the metrics file."""
    monkeypatch.setattr(scores, "choose_calibration", lambda *_: (calibration, (0.5, 0.5)))
    images, cpu = workspace / "data/binary" / small_run.DATASET, torch.device("cpu")
    run = evaluate.load(checkpoint.training(workspace / "models/pneumonia", 0), images, cpu)
    settled = evaluate.settle(dataclasses.replace(run, class_weights=class_weights))
    share = expected if expected == 0.5 else splits[expected].labels.mean()
    assert settled.share == pytest.approx(share)


def test_the_share_is_read_from_the_metrics_file(ask, workspace, splits, tmp_path):
    path = write(tmp_path / "image.png", splits["test"].images[0])
    scores_at = changed(workspace / METRICS, tmp_path / "scores.json", share=0.123)
    report = ask(path, "--out", tmp_path, "--scores", scores_at)
    assert report["share_of_probabilities"] == 0.123


@pytest.mark.parametrize("share", ["0", "1", "abc", "nan", "-0.2", "30"])
def test_a_share_that_is_none_gets_one_line(share, workspace, tmp_path):
    ended = small_run.call(workspace, "predict", "--run", "pneumonia", tmp_path, f"--share={share}")
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.splitlines() == [
        f"predict: --share = '{share}'; accepted: above 0 and below 1, such as 0.3"
    ]


# --------------------------------------------------------------------------------- overlays


def test_an_overlay_is_the_image_but_for_evidence(splits):
    grey = splits["test"].images[0].repeat(25, 0).repeat(25, 1)
    heat = np.zeros((28, 28))
    heat[4:8, 4:8] = 1
    drawn = np.asarray(overlay.draw(radiograph.Radiograph(grey), heat, "evidence", ["line"]))
    assert drawn.shape[1] == 700 and drawn.shape[0] > 700
    shown = drawn[:700].astype(int)
    away = shown[300:, 300:]
    assert np.array_equal(away, np.repeat(grey[300:, 300:, None], 3, axis=2))
    assert np.ptp(shown[125:175, 125:175], axis=2).min() > 20, "evidence is coloured"


@pytest.mark.parametrize("shape, seen", [((700, 900), (0, 100, 700)), ((900, 640), (130, 0, 640))])
def test_the_part_cropped_away_has_no_heat_and_is_outlined(shape, seen):
    grey = np.full(shape, 100, np.uint8)
    drawn = np.asarray(overlay.draw(radiograph.Radiograph(grey), np.ones((28, 28)), "evidence", []))
    top, left, side = seen
    inside = np.zeros(shape, bool)
    inside[top : top + side, left : left + side] = True
    picture = drawn[: shape[0], : shape[1]]
    assert (picture[~inside] == 50).all(), "darker, and grey"
    assert (np.ptp(picture[inside].astype(int), axis=1) > 20).all()
    assert picture[top, left].tolist() == [0x56, 0xB4, 0xE9]


@pytest.mark.parametrize("shape", [(28, 28), (30, 2000), (2000, 30), (3000, 2500)])
def test_words_fit_below_images_of_any_shape(shape):
    grey = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    lines = ["a line of quite usual length, as one of them may well be in the end"]
    picture = overlay.draw(
        radiograph.Radiograph(grey), np.zeros((28, 28)), "evidence", lines, predict.GUESS
    )
    factor = max(1, overlay.LEAST_WIDTH // max(shape))
    assert picture.width == max(overlay.LEAST_WIDTH, factor * shape[1])
    assert picture.height < factor * shape[0] + picture.width / 3
    words = np.asarray(picture)[factor * shape[0] :].max(axis=2) > 100
    columns = np.flatnonzero(words.any(axis=0))
    assert columns[0] > 0 and columns[-1] < picture.width - 1, "cut off at an edge"
    assert len(columns) > picture.width / 2, "too small for its width"


# ---------------------------------------------------------------- strange names, and no files

STRANGE = (
    "plain.png",
    "x" * 246 + ".png",
    "\u00e9" * 125 + ".png",
    "a\nb\x1b[31m.png",
    "\udcff.png",
)
HOPELESS = ("fifo.png", "loop.png", "dangling.png", "device.png")


@pytest.fixture(scope="module")
def strange(splits, tmp_path_factory) -> Path:
    """A folder of good images with strange names, and of what looks like images and is none."""
    folder = tmp_path_factory.mktemp("strange")
    for image, name in zip(splits["test"].images, STRANGE):
        write(folder / "short.png", image).rename(folder / name)
    os.mkfifo(folder / "fifo.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "folder.png").mkdir()
    (folder / "circle").symlink_to(folder)
    return folder


def test_what_is_no_file_fails_alone(strange, ask, tmp_path):
    report = ask(strange, strange / "circle", tmp_path / ("y" * 300), "--out", tmp_path)
    assert {row["image"] for row in report["images"]} == {str(strange / n) for n in STRANGE}
    failed = [Path(row["image"]).name for row in report["failed"]]
    assert sorted(failed) == sorted([*HOPELESS, "y" * 300])
    overlays = [Path(row["overlay"]) for row in report["images"]]
    assert len(set(overlays)) == len(STRANGE) and all(path.is_file() for path in overlays)


def test_names_of_files_cannot_steer_a_terminal(strange, workspace, tmp_path):
    ended = small_run.call(
        workspace, "predict", "--run", "pneumonia", strange, "--out", tmp_path / "a\x1b[2J"
    )
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == len(HOPELESS) and "Traceback" not in ended.stderr
    rows = [line for line in ended.stdout.splitlines() if line.startswith(str(strange))]
    assert len(rows) == len(STRANGE) and "\x1b" not in ended.stdout
    assert any(r"/a\nb\x1b[31m.png" in row for row in rows)


@pytest.mark.parametrize("name", [*STRANGE, "\U0001f5bc" * 63 + "a", "\udcff" * 250, "-rf", ".png"])
def test_the_name_of_an_overlay_is_clean_and_short(name, tmp_path):
    """It has to leave room for `.part` within 255 bytes, and letters are kept whole."""
    found = predict.place(tmp_path, tmp_path / name).name
    assert found.isprintable() and len(found.encode()) <= 250
    start = found.rpartition("-")[0]
    assert (
        Path(name)
        .stem.replace("\n", "_")
        .replace("\x1b", "_")
        .replace("\udcff", "_")
        .startswith(start)
    )
    assert predict.place(tmp_path, tmp_path / f"a{name}").name != found


def test_very_large_images_come_in_smaller_batches(splits, tmp_path, monkeypatch):
    images = splits["test"].images[:5]
    paths = [write(tmp_path / f"{i}.png", image) for i, image in enumerate(images)]
    monkeypatch.setattr(pixels, "MAX_PIXELS", 2 * images[0].size)
    assert [list(found) for found, _ in predict.read(paths)] == [paths[:3], paths[3:]]


# --------------------------------------------------------------------------- mistakes of users


def test_an_unknown_run_is_answered_with_the_names_there_are(ask, tmp_path):
    with pytest.raises(UserError, match="run: 'best' is unknown; accepted: pneumonia, lowdata"):
        ask(tmp_path, "--run", "best")


def test_a_run_that_is_not_trained_names_the_command_that_trains_it(workspace, tmp_path):
    ended = small_run.call(
        workspace, "predict", "--run", "pneumonia", tmp_path, "--run", "headfirst"
    )
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.splitlines() == [
        "predict: models/headfirst/model.safetensors is missing; make it: dvc repro"
        " evaluate@headfirst (or everything: make repro)"
    ]


def changed(path: Path, out: Path, **values) -> Path:
    """A metrics file with other values; None takes one away."""
    report = files.read_json(path) | values
    files.write_json(out, {key: value for key, value in report.items() if value is not None})
    return out


@pytest.mark.parametrize(
    "change",
    [{"data": "PneumoniaMNIST"}, {"weights": "0123456789ab"}, {"weights": None}],
    ids=["data", "another training", "no training named"],
)
def test_files_of_different_states_are_refused(change, ask, workspace, tmp_path):
    other = changed(workspace / "metrics/runs/pneumonia.json", tmp_path / "other.json", **change)
    with pytest.raises(UserError, match=r"different states.*dvc repro evaluate@pneumonia"):
        ask(tmp_path, "--scores", other)


def test_weights_that_differ_in_one_number_are_refused(ask, workspace, tmp_path):
    """Another training that happens to score the same on validation, say."""
    weights = tmp_path / "weights" / checkpoint.FILE
    weights.parent.mkdir()
    weights.write_bytes(network_with(workspace, lambda w, _: w["head.bias"].add_(1e-6)))
    shutil.copy(workspace / "models/pneumonia/history.csv", weights.parent)
    own, other = map(checkpoint.digest, (workspace / "models/pneumonia", weights.parent))
    assert own == files.read_json(workspace / METRICS)["weights"] != other
    with pytest.raises(UserError, match=rf"weights {other}.*{own}.*dvc repro evaluate@pneumonia"):
        ask(tmp_path, "--weights", weights.parent)


def test_the_weights_of_another_run_are_refused(ask, workspace, tmp_path):
    about = checkpoint.read(workspace / "models/pneumonia")[1]
    network = checkpoint.load_classifier(workspace / "models/pneumonia")
    checkpoint.save(tmp_path / "frozen", network, about | {"run": "frozen"})
    with pytest.raises(UserError, match=r"frozen \(run frozen\).*all of run pneumonia.*evaluate@"):
        ask(tmp_path, "--weights", tmp_path / "frozen")


NOTHING = "damaged, or no network as safetensors"
SCORES = "no threshold with a calibration; expected: the metrics file of run pneumonia"


def network_with(workspace: Path, change) -> bytes:
    """The run's weights after a change of them, or of what the file says about them."""
    weights, about = checkpoint.read(workspace / "models/pneumonia")
    change(weights, about)
    return as_bytes(weights, {"about": json.dumps(about)})


CLASSIFIERS = {  # content of cnn.safetensors -> what is said of it
    "a picture": (lambda w: b"\x89PNG\r\n\x1a\n" + bytes(999), NOTHING),
    "nothing": (lambda w: b"", NOTHING),
    "half": (lambda w: (w / "models/pneumonia/model.safetensors").read_bytes()[:3000], NOTHING),
    "a huge header": (lambda w: (1 << 40).to_bytes(8, "little") + b"{}", NOTHING),
    "the empty start": (
        lambda w: (w / "models/scratch/model.safetensors").read_bytes(),
        "holds no network of a run; expected: a",
    ),
    "remarks that are no JSON": (lambda w: as_bytes({}, {"about": "{"}), NOTHING),
    "remarks that are a list": (lambda w: as_bytes({}, {"about": "[]"}), NOTHING),
    "an autoencoder": (
        lambda w: (w / "models/autoencoder/model.safetensors").read_bytes(),
        "holds an autoencoder; expected: a classifier",
    ),
    "no architecture": (
        lambda w: network_with(w, lambda weights, about: about.pop("architecture")),
        "says None of its network",
    ),
    "a gigantic architecture": (
        lambda w: network_with(w, lambda _, about: about["architecture"].update(width=1 << 30)),
        "but its weights are {'width': 8, 'blocks': 3}",
    ),
    "a weight less": (
        lambda w: network_with(w, lambda weights, about: weights.pop("head.bias")),
        r"in 1 of .* keys; head.bias: given none, accepted \(2,\)",
    ),
    "no numbers": (
        lambda w: network_with(w, lambda weights, about: weights["head.bias"].fill_(torch.nan)),
        "weights that are no numbers",
    ),
}
METRICS = "metrics/runs/pneumonia.json"
REPORTS = {
    "a picture": (lambda w: b"\x89PNG\r\n\x1a\n", "damaged, or no JSON"),
    "half": (
        lambda w: (w / "metrics/runs/pneumonia.json").read_bytes()[:99],
        "damaged, or no JSON",
    ),
    "nested": (lambda w: b"[" * 100_000, "damaged, or no JSON"),
    "a list": (lambda w: b"[1]", SCORES),
    "other metrics": (lambda w: (w / "metrics/gradcam/pneumonia.json").read_bytes(), SCORES),
    "no number": (lambda w: b'{"at_val_threshold": {"threshold": NaN}}', SCORES),
    "no threshold": (lambda w: b'{"at_val_threshold": 1, "calibration": [1, 2]}', SCORES),
    "words": (lambda w: b'{"at_val_threshold": {"threshold": 1}, "calibration": "ab"}', SCORES),
}
DAMAGED = [
    (option, kind)
    for option, kinds in (("--weights", CLASSIFIERS), ("--scores", REPORTS))
    for kind in kinds
]


@pytest.mark.parametrize("option, kind", DAMAGED)
def test_a_damaged_or_swapped_file_is_named_with_its_remedy(option, kind, ask, workspace, tmp_path):
    content, reason = (CLASSIFIERS if option == "--weights" else REPORTS)[kind]
    path = tmp_path / ("x.json" if option == "--scores" else checkpoint.FILE)
    path.write_bytes(content(workspace))
    with pytest.raises(UserError, match=reason) as error:
        ask(tmp_path, option, path if option == "--scores" else tmp_path)
    said = str(error.value)
    assert str(path) in said and said.isprintable()
    assert said.endswith("; make it anew: dvc repro evaluate@pneumonia")


@pytest.mark.parametrize("share", [0, 1, -0.2, 30, "0.3", None])
def test_a_share_that_no_metrics_file_holds_is_named(share, ask, workspace, tmp_path):
    scores_at = changed(workspace / METRICS, tmp_path / "scores.json", share=share)
    with pytest.raises(UserError, match=r"scores\.json.* share") as error:
        ask(tmp_path, "--scores", scores_at)
    assert str(error.value).endswith("; make it anew: dvc repro evaluate@pneumonia")


def test_a_file_in_place_of_its_folder_is_refused(ask, workspace, tmp_path):
    path = workspace / "models/pneumonia/model.safetensors"
    with pytest.raises(UserError, match=r"is a file; expected: the folder of cnn.safetensors"):
        ask(tmp_path, "--weights", path)


def test_damaged_images_of_the_data_set_are_named(ask, workspace, tmp_path):
    shutil.copytree(workspace / "data/binary/pneumoniamnist", tmp_path / "images")
    path = tmp_path / "images/train_images.npy"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"images is damaged .*dvc repro evaluate@pneumonia"):
        ask(tmp_path, "--images", tmp_path / "images")
    path.unlink()
    with pytest.raises(UserError, match=r"train_images.npy is missing"):
        ask(tmp_path, "--images", tmp_path / "images")


def test_a_folder_that_cannot_be_written_is_named(ask, splits, tmp_path):
    image = write(tmp_path / "image.png", splits["test"].images[0])
    with pytest.raises(OSError, match=r"Not a directory: .*image.png/pneumonia"):
        ask(image, "--out", image)


def test_an_overlay_for_which_the_disk_has_no_room_is_named(ask, splits, tmp_path):
    """A limit on the size of a file stands for a full disk."""
    image = write(tmp_path / "image.png", splits["test"].images[0])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: .*/out/pneumonia/image-.*\.png"):
            ask(image, "--out", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "out").rglob("*.*"))
