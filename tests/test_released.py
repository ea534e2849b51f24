"""The released model, as it lies in Git: it is what its card says, and can be had and asked."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import medmnist
import numpy as np
import onnxruntime
import pytest
import small_run
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save as as_bytes
from sklearn.metrics import accuracy_score, roc_auc_score

from chestflow import files, formatting
from chestflow.commands import results
from chestflow.config import reading
from chestflow.errors import UserError
from chestflow.metrics import scores
from chestflow.models import checkpoint, inference
from chestflow.own_images import chosen_model, released
from chestflow.sources import archive

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / released.FOLDER
GENUINE = ROOT.parent / "shared/medmnist/pneumoniamnist.npz"
SCORES = files.read_json(FOLDER / released.SCORES)
SHOWN = SCORES["shown"]
SPLITS = ("train", "val", "test")
genuine = pytest.mark.skipif(not GENUINE.exists(), reason="needs the genuine PneumoniaMNIST")


def load(folder: Path = FOLDER):
    return released.load(folder, torch.device("cpu"))


# --------------------------------------------------------------------------------- what it is


def test_card_and_scores_agree_with_the_predictions_beside_them():
    labels, probability = scores.predictions(files.read_csv(FOLDER / "predictions.csv"))
    each, card = SCORES["each"], (FOLDER / "README.md").read_text()
    for k, row in enumerate(probability):
        assert each["auroc"][k] == pytest.approx(roc_auc_score(labels, row), abs=1e-6)
        assert each["accuracy"][k] == pytest.approx(accuracy_score(labels, row >= 0.5), abs=1e-6)
    for score, title in (("auroc", "AUROC"), ("accuracy", "accuracy")):
        (line,) = [line for line in card.splitlines() if line.startswith(f"| {title} |")]
        assert f"| {formatting.number(each[score][SHOWN])} [" in line
        assert f"| {formatting.scored(SCORES, score)} |" in line
    assert checkpoint.digest(FOLDER) == SCORES["weights"] and SCORES["weights"] in card
    assert "PHANTOM" not in card and SCORES["data"] == "PneumoniaMNIST"


def test_the_cards_metadata_is_what_hugging_face_reads():
    _, block, _ = (FOLDER / "README.md").read_text().split("---\n", 2)
    found = yaml.safe_load(block)
    assert found["license"] == "mit" and found["pipeline_tag"] == "image-classification"
    (result,) = found["model-index"][0]["results"]
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["roc_auc"] == SCORES["each"]["auroc"][SHOWN]
    assert values["accuracy"] == SCORES["each"]["accuracy"][SHOWN]


@genuine
def test_safetensors_and_onnx_score_the_genuine_test_images_as_the_card_says():
    images = archive.read(GENUINE, "test_images")
    labels = archive.read(GENUINE, "test_labels").ravel()
    by_torch = inference.probabilities(load()[0].classifier, torch.from_numpy(np.array(images)))
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx")
    by_onnx = session.run(["probability"], {"images": images})[0][:, 1]
    for probability in (by_torch, by_onnx):
        auroc, accuracy = (
            roc_auc_score(labels, probability),
            np.mean((probability >= 0.5) == labels),
        )
        assert round(auroc, 3) == round(SCORES["each"]["auroc"][SHOWN], 3)
        assert round(accuracy, 3) == round(SCORES["each"]["accuracy"][SHOWN], 3)


@genuine
def test_medmnist_reads_the_same_scores_from_its_own_files():
    files = sorted((FOLDER / "medmnist").iterdir())
    assert len(files) == SCORES["trainings"]
    evaluator = medmnist.Evaluator("pneumoniamnist", "test", root=str(GENUINE.parent))
    for k, path in enumerate(sorted(files, key=lambda path: path.stem.rsplit("-")[-1])):
        table = np.loadtxt(path, delimiter=",")
        assert np.array_equal(table[:, 0], np.arange(SCORES["n"]))
        auroc, accuracy = evaluator.evaluate(table[:, 1:])
        assert auroc == pytest.approx(SCORES["each"]["auroc"][k], abs=1e-6)
        assert accuracy == pytest.approx(SCORES["each"]["accuracy"][k], abs=1e-6)


@genuine
def test_training_images_are_known_by_their_hashes_and_others_are_not():
    _, _, seen = load()
    known = {name: released.hashes(archive.read(GENUINE, f"{name}_images")) for name in SPLITS}
    assert all(seen.issuperset(known[name]) for name in ("train", "val"))
    assert not seen.intersection(known["test"])
    assert seen == {*known["train"], *known["val"]}


@genuine
def test_few_validation_images_and_all_noise_are_unlike():
    _, unlikeness, _ = load()
    val = torch.from_numpy(np.array(archive.read(GENUINE, "val_images")))
    noise = torch.randint(0, 256, (20, 28, 28), dtype=torch.uint8)
    assert (unlikeness.rank(val) > 99).mean() < 0.02
    assert (unlikeness.rank(noise) > 99).all()


# ------------------------------------------------------------------------------ asking and having


@pytest.fixture
def untrained(tmp_path) -> Path:
    """What of a fresh clone `predict` reads before anything was trained."""
    for name in ("params.yaml", "datasets.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(FOLDER, tmp_path / released.FOLDER)
    return tmp_path


def test_it_answers_before_anything_was_trained(untrained):
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)  # none is smoothed away
    Image.fromarray(noise).save(untrained / "noise.png")
    ended = small_run.call(untrained, "predict", "noise.png", "--json")
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert said["data"] == "PneumoniaMNIST" and "not for diagnosis" in said["notice"]
    assert said["notice"].startswith("released model, ")
    assert said["images"][0]["unlike"] and said["images"][0]["unlike_percentile"] == 100
    assert (untrained / said["images"][0]["overlay"]).parent == untrained / "predictions/released"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--weights", "models/x"],
            "predict: --weights is of a run trained here; say which: --run",
        ),
        (["--scores", "x.json"], "predict: --scores is of a run trained here; say which: --run"),
        (
            ["--run", "pneumonia", "--released", "x"],
            "predict: --released and --run name two models",
        ),
        ([""], "argument IMAGE: '' is no path"),
    ],
)
def test_what_would_be_passed_over_is_refused(untrained, words, line):
    ended = small_run.call(untrained, "predict", "noise.png", *words)
    assert ended.returncode and line in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["model.safetensors", "scores.json", "usual.safetensors"])
def test_a_missing_damaged_or_exchanged_file_is_one_line_with_the_remedy(untrained, name):
    path = untrained / released.FOLDER / name
    content = path.read_bytes()
    changed = content.replace(b'"weights": "', b'"weights": "0')
    for wrong in (None, content[: len(content) // 2], changed if changed != content else b"{}"):
        path.unlink(missing_ok=True)
        if wrong is not None:
            path.write_bytes(wrong)
        with pytest.raises(UserError, match="git checkout HEAD released/pneumonia") as error:
            load(untrained / released.FOLDER)
        assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_what_is_usual_for_other_weights_is_refused(untrained):
    """Its statistics would fit, and mean nothing."""
    folder = untrained / released.FOLDER
    path = folder / released.USUAL
    with safe_open(path, framework="np") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    path.write_bytes(as_bytes(arrays, {"weights": "0123456789ab"}))
    with pytest.raises(UserError, match=r"usual.safetensors is of weights 0123456789ab.*git check"):
        load(folder)


def test_dvc_fetches_it_from_the_repository(tmp_path):
    """By `dvc get` and, by the tag that DVC asks for, by `dvc artifacts get`."""

    def call(*words: object, at: Path = tmp_path) -> None:
        ended = subprocess.run([*map(str, words)], cwd=at, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr

    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(ROOT / "dvc.yaml", source)
    shutil.copy(ROOT / "datasets.yaml", source)
    shutil.copy(ROOT / "params.yaml", source)
    shutil.copytree(ROOT / "released", source / "released")
    name = ("-c", "user.name=me", "-c", "user.email=me@localhost")
    call("git", "init", "-q", at=source)
    call("dvc", "init", "-q", at=source)
    call("git", "add", ".", at=source)
    call("git", *name, "commit", "-qm", "released", at=source)
    tag = ("tag", "--annotate", "released@v0.2.0", "--message", "chestflow 0.2.0")
    call("git", *name, *tag, at=source)
    call("dvc", "get", source, "released/pneumonia/model.safetensors", "-o", "got.safetensors")
    call("dvc", "artifacts", "get", source, "released", "-o", "artifact.safetensors")
    for got in ("got.safetensors", "artifact.safetensors"):
        assert (tmp_path / got).read_bytes() == (FOLDER / checkpoint.FILE).read_bytes()


# ----------------------------------------------------------------------------------- releasing


def test_what_is_released_is_what_was_trained(tmp_path, shrunken, splits):
    """Writing and reading a run of the small workspace: the same answers, and no image."""
    place = tmp_path / "workspace"
    place.mkdir()
    small_run.build(place, shrunken, splits, with_autoencoder=False)
    params = reading.params(place / "params.yaml")
    here = Path.cwd()
    os.chdir(place)
    try:
        model = chosen_model.load(chosen_model.options("pneumonia"), params)
        trained_on = model.seen()
    finally:
        os.chdir(here)
    report = files.read_json(place / "metrics/runs/pneumonia.json")
    out = tmp_path / "released"
    released.write(out, place / "models/pneumonia", report, model.unlikeness, trained_on)
    run, unlikeness, seen = load(out)
    images = torch.from_numpy(np.array(splits["test"].images[:20]))
    expected = inference.probabilities(model.run.classifier, images)
    assert np.array_equal(inference.probabilities(run.classifier, images), expected)
    expected = model.unlikeness.measure(images)
    assert unlikeness.measure(images) == pytest.approx(expected, rel=1e-3), "in single precision"
    assert (run.threshold, run.calibration, run.share) == (
        model.run.threshold,
        model.run.calibration,
        model.run.share,
    )
    assert seen == trained_on
    assert run.notice() == model.run.notice().replace("run pneumonia", "released model")
    held = b"".join(path.read_bytes() for path in out.iterdir())
    assert not any(image.tobytes()[:200] in held for image in splits["train"].images[:50])


def test_one_training_gets_intervals_for_other_images_alone():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    probability = np.clip(0.5 + (labels - 0.5) * 0.3 + rng.normal(0, 0.3, 200), 0, 1)[None]
    found = results.interval_of(labels, probability, 0.6)
    assert found["half"]["auroc"]["value"] == pytest.approx(roc_auc_score(labels, probability[0]))
    low, high = found["half"]["accuracy"]["ci95"]
    share = found["half"]["accuracy"]["value"]
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 200), rel=0.05)
    assert found["chosen"]["recall"]["value"] < found["half"]["recall"]["value"]
    assert found["chosen"]["recall"]["sd"] is None
