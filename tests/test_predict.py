"""Asking a run about your own images, as a user does: files in, a table and pictures out."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import skimage
import small_run
import torch
from PIL import Image

from chestflow import cli, files
from chestflow.config import reading
from chestflow.errors import UserError
from chestflow.metrics import calibration, prevalence
from chestflow.models import checkpoint, cnn, inference
from chestflow.own_images import model, out_of_distribution, overlay, predict

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "camera")  # come with scikit-image
METRICS = "data/results/pneumonia/scores.json"


@pytest.fixture
def ask(workspace, monkeypatch, capsys):
    """The command in this process: its JSON."""

    def predicted(*words: object) -> dict:
        monkeypatch.chdir(workspace)
        options = cli.parse(["predict", "--run", "pneumonia", *map(str, words), "--json"])
        predict.main(options)
        return json.loads(capsys.readouterr().out)

    return predicted


def write(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


# ---------------------------------------------------------------------- the command, as it is run


STRANGE = ("\u00e9" * 125 + ".png", "a\nb\x1b[31m.png", "\udcff.png")  # names


@pytest.fixture(scope="module")
def said(workspace, splits, tmp_path_factory):
    """What the command says of good images in several folders, one of them wide, one of noise, and
    some with strange names; of no images; and of what is no file."""
    given = tmp_path_factory.mktemp("given")
    images = splits["test"].images
    for i, name in enumerate(("a/image.png", "b/image.png", "c/short.png")):
        write(given / name, images[i])
    for name in STRANGE:
        shutil.copy(given / "c/short.png", given / "c" / name)
    (given / "c/short.png").unlink()
    write(given / "wide.jpg", np.pad(images[2].repeat(20, 0).repeat(20, 1), ((0, 0), (90, 70))))
    write(given / "noise.png", np.random.default_rng(0).integers(0, 256, (99, 99), np.uint8))
    write(given / "blank.png", np.full((50, 50), 9, np.uint8))
    (given / "empty.png").touch()
    (given / "dangling.png").symlink_to("nowhere.png")
    (given / "cut.jpg").write_bytes((given / "wide.jpg").read_bytes()[:900])
    (given / "scan.mha").touch()
    ended = small_run.call(workspace, "predict", "--run", "pneumonia", given, "y" * 300)
    return given, ended


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


def test_a_table_says_what_it_is_about(said):
    table = said[1].stdout
    assert "run pneumonia, trained on PneumoniaMNIST PHANTOM" in table
    assert "nothing about patients" in table and "not for diagnosis" in table
    (noise,) = [line for line in table.splitlines() if "/noise.png" in line]
    assert "OUT OF DISTRIBUTION: TREAT THE ANSWER AS A GUESS" in noise
    assert table.count("GUESS") == 1


def test_overlays_of_one_name_stay_apart(said, workspace):
    names = re.findall(r"(image-[0-9a-f]{8}\.png)", said[1].stdout)
    one, other = (Image.open(workspace / "predictions/pneumonia" / name) for name in names)
    assert not np.array_equal(one, other)


# --------------------------------------------------------------------------- what it answers


def test_an_image_of_the_data_set_gets_its_own_prediction(ask, workspace, splits, tmp_path):
    for i, image in enumerate(splits["test"].images[:40]):
        write(tmp_path / f"{i:02}.png", image)
    report = ask(tmp_path, "--out", tmp_path / "out")
    known = files.read_csv(workspace / "data/results/pneumonia/predictions.csv")["probability"][:40]
    metrics = files.read_json(workspace / METRICS)
    classifier = checkpoint.load_classifier(workspace / "models/pneumonia")
    raw = inference.probabilities(classifier, torch.from_numpy(splits["test"].images[:40]))
    expected = calibration.calibrated(raw, *metrics["calibration"])
    threshold = metrics["at_val_threshold"]["threshold"]
    assert [row["raw_probability"] for row in report["images"]] == pytest.approx(known, abs=2e-6)
    assert [row["probability"] for row in report["images"]] == pytest.approx(expected, abs=2e-6)
    decided = [row["decision"] == "pneumonia" for row in report["images"]]
    assert decided == [p >= threshold for p in known] and len(set(decided)) == 2
    on_one_scale = [row["probability"] >= report["threshold"] for row in report["images"]]
    assert on_one_scale == decided and report["failed"] == []


def test_asking_again_replaces_the_overlay(ask, splits, tmp_path):
    path = write(tmp_path / "image.png", np.pad(splits["test"].images[4], ((2, 2), (0, 0))))
    first = ask(path, "--out", tmp_path / "out")
    (row,) = first["images"]
    assert row["seen"] == [0, 2, 28] and row["size"] == [28, 32]
    assert Path(row["overlay"]).parent == tmp_path / "out/pneumonia"
    assert ask(path, tmp_path, "--out", tmp_path / "out") == first
    assert len(list((tmp_path / "out").rglob("*.png"))) == 1


# -------------------------------------------------------------------------- out of distribution


def test_images_of_anything_else_are_out_of_distribution(ask, splits, tmp_path):
    folder = Path(skimage.__file__).parent / "data"
    rng = np.random.default_rng(0)
    write(tmp_path / "noise.png", rng.integers(0, 256, (300, 300), np.uint8))
    write(tmp_path / "negative.png", 255 - splits["test"].images[0])
    photographs = [folder / f"{name}.png" for name in PHOTOGRAPHS]
    report = ask(tmp_path, *photographs, "--out", tmp_path / "out")
    assert [row["out_of_distribution"] for row in report["images"]] == [True] * 6


def test_images_of_the_data_set_seldom_are(workspace, splits, monkeypatch):
    monkeypatch.chdir(workspace)
    network = model.load("pneumonia", reading.params("params.yaml"))
    rows = network.answers(splits["val"].images[:100])
    assert np.mean([row["out_of_distribution"] for row in rows]) < 0.1
    assert 25 < np.median([row["out_of_distribution_percentile"] for row in rows]) < 75


def test_a_statistic_that_is_constant_on_all_training_images_counts(splits):
    """With their covariance as it is, its variance of 0 would leave it without weight."""
    images = torch.from_numpy(np.array(splits["train"].images))
    side = images.shape[-1] // out_of_distribution.CELLS
    images[:, :side, :side] = 128  # one of the cells
    reference = out_of_distribution.fit(cnn.Classifier().eval(), images[:200], images[200:])
    woken = images[200:201].clone()
    woken[:, :side, :side] = 160
    ranks = [reference.percentiles(reference.measure(each)) for each in (images[200:201], woken)]
    assert ranks[0] < 100 and ranks[1] == 100


def test_distances_are_those_of_the_formula(splits):
    images = torch.from_numpy(np.array(splits["train"].images))
    network = cnn.Classifier(contrast="local").eval()
    reference = out_of_distribution.fit(network, images[:200], images[200:])
    statistics = out_of_distribution.statistics(network, images[:3])
    assert statistics.shape == (3, 2 * (8 + 16 + 32) + out_of_distribution.CELLS**2)
    cell = images[0].double()[:4, :4].mean() / 127.5 - 1
    assert statistics[0, 0] == pytest.approx(float(cell), abs=1e-6)
    centred = statistics - reference.mean
    expected = [x @ reference.precision @ x for x in centred]
    assert reference.measure(images[:3]) == pytest.approx(expected)
    by_hand = out_of_distribution.Reference(network, *[np.empty(0)] * 2, np.arange(1.0, 5.0))
    assert by_hand.percentiles(np.array([0, 1, 2.5, 4, 9])).tolist() == [0, 0, 50, 75, 100]


def test_a_share_moves_probabilities_and_threshold_but_no_decision(ask, splits, tmp_path):
    for i, image in enumerate(splits["test"].images[:20]):
        write(tmp_path / f"{i:02}.png", image)
    plain = ask(tmp_path, "--out", tmp_path / "out")
    moved = ask(tmp_path, "--out", tmp_path / "out", "--share", "0.3")
    before, after = (
        np.array([row["probability"] for row in report["images"]] + [report["threshold"]])
        for report in (plain, moved)
    )
    share = plain["share_of_probabilities"]
    assert after == pytest.approx(prevalence.shifted(before, share, 0.3), abs=5e-6)
    assert np.abs(after - before).max() > 0.05
    decisions = [[row["decision"] for row in report["images"]] for report in (plain, moved)]
    assert decisions[0] == decisions[1]


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
    picture = overlay.draw(grey, np.zeros((28, 28)), text)
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


@pytest.mark.parametrize(
    "path, before, after, line",
    [
        (METRICS, '"weights": "', '"weights": "0', "is of weights 0.* make both anew"),
        ("data/binary/pneumoniamnist/origin.txt", "phantom", "images", "not trained on the pres"),
    ],
)
def test_results_of_another_training_are_refused(
    path, before, after, line, workspace, ask, tmp_path
):
    content = (workspace / path).read_text()
    (workspace / path).write_text(content.replace(before, after))
    try:
        with pytest.raises(UserError, match=line):
            ask(tmp_path)
    finally:
        (workspace / path).write_text(content)
