"""Asking a run about your own images, as a user does: files in, a table and pictures out."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image
from small_run import save
from workspace import ROOT, Workspace

from chestflow import cli, files
from chestflow.config import reading
from chestflow.errors import UserError
from chestflow.metrics import calibration, prevalence
from chestflow.models import cnn
from chestflow.own_images import model, out_of_distribution, overlay, predict

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "camera")  # come with scikit-image
METRICS = "data/results/pneumonia/scores.json"
STRANGE = ("\u00e9" * 125 + ".png", "a\nb\x1b[31m.png", "\udcff.png")  # names


@pytest.fixture
def ask(workspace, monkeypatch, capsys, tmp_path):
    """The command in this process: its JSON."""

    def predicted(*words: object) -> dict:
        monkeypatch.chdir(workspace)
        given = ["--run", "pneumonia", "--json", "--out", tmp_path / "out", *words]
        predict.main(cli.parse(["predict", *map(str, given)]))
        return json.loads(capsys.readouterr().out)

    return predicted


def column(report: dict, name: str) -> np.ndarray:
    return np.array([row[name] for row in report["images"]])


# ---------------------------------------------------------------------- the command, as it is run


@pytest.fixture(scope="module")
def said(workspace, environment, splits, tmp_path_factory):
    """What the command says of good images in several folders, one of them wide, one of noise, and
    some with strange names; of what is no image; and of what is no file."""
    given = tmp_path_factory.mktemp("given")
    images = splits["test"].images
    save(given / "a/image.png", images[0])
    save(given / "b/image.png", images[1])
    save(given / "c/short.png", images[2])
    for name in STRANGE:
        shutil.copy(given / "c/short.png", given / "c" / name)
    (given / "c/short.png").unlink()
    save(given / "wide.jpg", np.pad(images[2].repeat(20, 0).repeat(20, 1), ((0, 0), (90, 70))))
    save(given / "noise.png", np.random.default_rng(0).integers(0, 256, (99, 99), np.uint8))
    save(given / "blank.png", np.full((50, 50), 9, np.uint8))
    (given / "empty.png").touch()
    (given / "dangling.png").symlink_to("nowhere.png")
    (given / "cut.jpg").write_bytes((given / "wide.jpg").read_bytes()[:900])
    (given / "scan.mha").touch()
    here = Workspace(workspace, environment | {"PYTHONPATH": str(ROOT)})
    words = ("predict", "--run", "pneumonia", str(given), "y" * 300)
    return given, here.run("chestflow", *words)


def test_every_image_gets_a_row_and_every_unreadable_file_a_line(said):
    given, ended = said
    rows = [line for line in ended.stdout.splitlines() if line.startswith(str(given))]
    named = [row for row in rows if "/c/" not in row]
    assert [row.split()[0] for row in named] == [
        str(given / name) for name in ("a/image.png", "b/image.png", "noise.png", "wide.jpg")
    ]
    assert len(rows) == len(named) + len(STRANGE) and any(r"/a\nb\x1b[31m.png" in r for r in rows)
    assert "\x1b" not in ended.stdout + ended.stderr
    passed_over, *errors = ended.stderr.splitlines()
    assert "1 files passed over" in passed_over and passed_over.endswith("scan.mha")
    assert [line.split(": ")[1] for line in errors] == [
        *(str(given / name) for name in ("blank.png", "cut.jpg", "dangling.png", "empty.png")),
        "y" * 300,
    ]
    assert all(line.startswith("predict: ") for line in errors)
    assert ended.returncode == 1, "a script has to notice that images are missing"


def test_a_table_says_what_it_is_about_and_which_answer_is_a_guess(said):
    table = said[1].stdout
    assert "run pneumonia, trained on PneumoniaMNIST PHANTOM" in table
    assert "nothing about patients" in table and "not for diagnosis" in table
    (guess,) = [line for line in table.splitlines() if "GUESS" in line]
    assert "/noise.png" in guess and "OUT OF DISTRIBUTION" in guess


def test_overlays_of_one_name_stay_apart(said, workspace):
    names = re.findall(r"(image-[0-9a-f]{8}\.png)", said[1].stdout)
    one, other = (Image.open(workspace / "predictions/pneumonia" / name) for name in names)
    assert not np.array_equal(one, other)


def test_asking_again_replaces_the_overlay(ask, splits, tmp_path):
    path = save(tmp_path / "image.png", splits["test"].images[4])
    first = ask(path)
    assert Path(first["images"][0]["overlay"]).parent == tmp_path / "out/pneumonia"
    assert ask(path, tmp_path) == first
    assert len(list((tmp_path / "out").rglob("*.png"))) == 1


# --------------------------------------------------------------------------- what it answers


def test_an_image_of_the_data_set_gets_its_own_prediction(ask, workspace, splits, tmp_path):
    """A share moves probabilities and threshold, but no decision."""
    for i, image in enumerate(splits["test"].images[:40]):
        save(tmp_path / f"{i:02}.png", image)
    plain, moved = ask(tmp_path), ask(tmp_path, "--share", "0.3")
    table = files.read_csv(workspace / "data/results/pneumonia/predictions.csv")
    known = np.array(table["probability"][:40])
    metrics = files.read_json(workspace / METRICS)
    threshold = metrics["at_val_threshold"]["threshold"]
    assert column(plain, "raw_probability") == pytest.approx(known, abs=2e-6)
    decided = column(plain, "decision") == "pneumonia"
    assert np.array_equal(decided, known >= threshold) and len(set(decided)) == 2
    calibrated = calibration.calibrated(np.append(known, threshold), *metrics["calibration"])
    shifted = prevalence.shifted(calibrated, metrics["share"], 0.3)
    for report, expected in ((plain, calibrated), (moved, shifted)):
        assert column(report, "probability") == pytest.approx(expected[:-1], abs=5e-6)
        assert report["threshold"] == pytest.approx(expected[-1], abs=5e-6)
        assert np.array_equal(column(report, "probability") >= report["threshold"], decided)
        assert np.array_equal(column(report, "decision") == "pneumonia", decided)
    assert (plain["share"], moved["share"]) == (metrics["share"], 0.3)


def test_images_of_anything_else_are_out_of_distribution(ask, splits, tmp_path):
    folder = Path(skimage.__file__).parent / "data"
    rng = np.random.default_rng(0)
    save(tmp_path / "noise.png", rng.integers(0, 256, (300, 300), np.uint8))
    save(tmp_path / "negative.png", 255 - splits["test"].images[0])
    report = ask(tmp_path, *(folder / f"{name}.png" for name in PHOTOGRAPHS))
    assert column(report, "out_of_distribution").tolist() == [True] * 6


def test_images_of_the_data_set_seldom_are(workspace, splits, monkeypatch):
    monkeypatch.chdir(workspace)
    network = model.load("pneumonia", reading.params("params.yaml"))
    rows = network.answers(splits["val"].images[:100])
    assert np.mean([row["out_of_distribution"] for row in rows]) < 0.1
    assert 25 < np.median([row["out_of_distribution_percentile"] for row in rows]) < 75


def test_a_statistic_that_is_constant_on_all_training_images_counts():
    """With their covariance as it is, its variance of 0 would leave it without weight."""
    known = np.random.default_rng(0).standard_normal((300, 5))
    known[:, 0] = 1
    reference = out_of_distribution.fit(known[:200], known[200:])
    woken = known[200:201] + np.array([0.1, 0, 0, 0, 0])
    assert reference.percentiles(known[200:201]) < 100 == reference.percentiles(woken)


def test_statistics_are_cells_and_channels_and_ranks_those_of_the_formula(splits):
    images = torch.from_numpy(np.array(splits["train"].images[:3]))
    statistics = out_of_distribution.statistics(cnn.Classifier(contrast="local").eval(), images)
    assert statistics.shape == (3, 2 * (8 + 16 + 32) + out_of_distribution.CELLS**2)
    cell = images[0].double()[:4, :4].mean() / 127.5 - 1
    assert statistics[0, 0] == pytest.approx(float(cell), abs=1e-6)
    precision = np.diag([1.0, 4.0])
    reference = out_of_distribution.Reference(np.ones(2), precision, np.arange(1.0, 5.0))
    vectors = 1 + np.array([[0, 0], [1.5, 0], [0, 0.9], [0, 1.1], [1, 1]])  # 0, 2.25, 3.24, 4.84, 5
    assert reference.percentiles(vectors).tolist() == [0, 50, 75, 100, 100]


# --------------------------------------------------------------------------------- overlays


def test_only_evidence_is_coloured(splits):
    grey = splits["test"].images[0].repeat(25, 0).repeat(25, 1)
    heat = np.zeros((28, 28))
    heat[4:8, 4:8] = 1
    picture = np.asarray(overlay.pictured(grey, heat)).astype(int)
    assert np.array_equal(picture[300:, 300:], np.repeat(grey[300:, 300:, None], 3, axis=2))
    assert np.ptp(picture[125:175, 125:175], axis=2).min() > 20


@pytest.mark.parametrize("shape, seen", [((700, 900), (0, 100, 700)), ((900, 640), (130, 0, 640))])
def test_the_part_cropped_away_has_no_heat_and_is_outlined(shape, seen):
    grey = np.full(shape, 100, np.uint8)
    picture = np.asarray(overlay.pictured(grey, np.ones((28, 28))))
    top, left, side = seen
    inside = np.zeros(shape, bool)
    inside[top : top + side, left : left + side] = True
    assert (picture[~inside] == 50).all(), "darker, and grey"
    assert (np.ptp(picture[inside].astype(int), axis=1) > 20).all()
    assert picture[top, left].tolist() == [0x56, 0xB4, 0xE9]


@pytest.mark.parametrize("shape", [(28, 28), (30, 900), (900, 30)])
def test_words_fit_below_images_of_any_shape(shape):
    grey = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    text = "a line of quite ordinary length, as one of them may well be in the end\nanother"
    picture = overlay.plot(grey, np.zeros((28, 28)), text)
    factor = max(1, overlay.LEAST_WIDTH // max(shape))
    assert picture.width == max(overlay.LEAST_WIDTH, factor * shape[1])
    words = np.asarray(picture)[factor * shape[0] :].max(axis=2) > 100
    columns = np.flatnonzero(words.any(axis=0))
    assert columns[0] > 0 and columns[-1] < picture.width - 1, "cut off at an edge"
    assert len(columns) > picture.width / 2, "too small for its width"


# --------------------------------------------------------------------------- mistakes of users


def test_a_run_that_is_unknown_or_not_trained_is_named(ask, tmp_path):
    with pytest.raises(UserError, match="run: 'best' is unknown; accepted: pneumonia, lowdata"):
        ask(tmp_path, "--run", "best")
    with pytest.raises(UserError, match=r"is missing; make it: dvc repro evaluate@frozen"):
        ask(tmp_path, "--run", "frozen")


def test_results_of_another_training_are_refused(workspace, ask, tmp_path):
    content = (workspace / METRICS).read_text()
    (workspace / METRICS).write_text(content.replace('"weights": "', '"weights": "0'))
    with pytest.raises(UserError, match=r"is of weights 0.*dvc repro evaluate@pneumonia"):
        ask(tmp_path)
    (workspace / METRICS).write_text(content)
