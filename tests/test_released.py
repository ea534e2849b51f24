"""The released model, as it lies in Git: it is what its card says, and can be had and asked."""

import json
import shutil

import numpy as np
import onnxruntime
import pytest
import yaml
from PIL import Image
from sklearn.metrics import accuracy_score, roc_auc_score
from workspace import RESULTS, ROOT, Workspace

from chestflow import cli, files, formatting
from chestflow.config import reading
from chestflow.metrics import scores
from chestflow.models import checkpoint, inference
from chestflow.own_images import model, predict

FOLDER = ROOT / model.RELEASED
GENUINE = ROOT.parent / "shared/medmnist/pneumoniamnist.npz"
SCORES = files.read_json(FOLDER / model.SCORES)
REPRESENTATIVE = SCORES["representative"]
genuine = pytest.mark.skipif(not GENUINE.exists(), reason="needs the genuine PneumoniaMNIST")


@pytest.fixture
def released(monkeypatch) -> model.Model:
    monkeypatch.chdir(ROOT)
    return model.load(None, reading.params("params.yaml"))


# --------------------------------------------------------------------------------- what it is


def test_card_and_scores_agree_with_the_predictions_beside_them():
    labels, probability = scores.predictions(files.read_csv(FOLDER / "predictions.csv"))
    each, card = SCORES["each"], (FOLDER / "README.md").read_text()
    for k, row in enumerate(probability):
        assert each["auroc"][k] == pytest.approx(roc_auc_score(labels, row), abs=1e-6)
        assert each["accuracy"][k] == pytest.approx(accuracy_score(labels, row >= 0.5), abs=1e-6)
    for score, title in (("auroc", "AUROC"), ("accuracy", "accuracy")):
        (line,) = [line for line in card.splitlines() if line.startswith(f"| {title} |")]
        assert f"| {formatting.number(each[score][REPRESENTATIVE])} [" in line
        assert f"| {formatting.scored(SCORES, score)} |" in line
    assert checkpoint.digest(FOLDER) == SCORES["weights"] and SCORES["weights"] in card
    assert "PHANTOM" not in card and SCORES["data"] == "PneumoniaMNIST"
    metadata = yaml.safe_load(card.split("---\n", 2)[1])  # as Hugging Face reads it
    assert metadata["license"] == "mit" and metadata["pipeline_tag"] == "image-classification"
    (result,) = metadata["model-index"][0]["results"]
    values = [metric["value"] for metric in result["metrics"]]
    expected = [each[name][REPRESENTATIVE] for name in ("auroc", "accuracy")]
    assert values == pytest.approx(expected, abs=1e-5)


@genuine
def test_safetensors_and_onnx_score_the_genuine_test_images_as_the_card_says(released):
    images = np.load(GENUINE)["test_images"]
    labels = np.load(GENUINE)["test_labels"].ravel()
    by_torch = inference.probabilities(released.classifier, released.on_device(images))
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx")
    by_onnx = session.run(["probability"], {"images": images})[0][:, 1]
    for probability in (by_torch, by_onnx):
        auroc, right = roc_auc_score(labels, probability), (probability >= 0.5) == labels
        assert auroc == pytest.approx(SCORES["each"]["auroc"][REPRESENTATIVE], abs=1e-5)
        assert right.mean() == pytest.approx(SCORES["each"]["accuracy"][REPRESENTATIVE], abs=1e-6)


@genuine
def test_training_images_are_known_by_their_hashes_and_others_are_not(released):
    for split, known in (("train", True), ("val", True), ("test", False)):
        hashes = model.hashes(np.load(GENUINE)[f"{split}_images"])
        assert (np.isin(hashes, released.known_hashes) == known).all()


# ------------------------------------------------------------------------------ asking and having


def test_it_answers_before_anything_was_trained(tmp_path, monkeypatch, capsys):
    for name in ("params.yaml", "datasets.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(FOLDER, tmp_path / model.RELEASED)
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)  # none is smoothed away
    Image.fromarray(noise).save(tmp_path / "noise.png")
    monkeypatch.chdir(tmp_path)
    assert predict.main(cli.parse(["predict", "noise.png", "--json"])) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["data"] == "PneumoniaMNIST"
    assert said["notice"].startswith("released model, ") and "not for diagnosis" in said["notice"]
    assert said["images"][0]["out_of_distribution_percentile"] == 100
    assert (tmp_path / said["images"][0]["overlay"]).parent == tmp_path / "predictions/released"


def test_dvc_fetches_it_from_the_repository(tmp_path, environment):
    """By `dvc get` and, by the tag that DVC asks for, by `dvc artifacts get`."""
    source = Workspace(tmp_path / "source", environment)
    source.folder.mkdir()
    source.fill(leave=RESULTS)
    source.commit()
    source.succeed("git", "tag", "--annotate", "released@v0.2.0", "--message", "chestflow 0.2.0")
    clone, file = source.clone(tmp_path / "clone"), str(model.RELEASED / checkpoint.FILE)
    clone.succeed("dvc", "get", str(source.folder), file, "--out", "got")
    clone.succeed("dvc", "artifacts", "get", str(source.folder), "released", "--out", "artifact")
    for got in ("got", "artifact"):
        assert (clone.folder / got).read_bytes() == (FOLDER / checkpoint.FILE).read_bytes()


# ----------------------------------------------------------------------------------- releasing


def test_what_is_released_is_what_was_trained(workspace, splits, monkeypatch):
    """Writing and reading a run of the small workspace: the same answers, and no image."""
    monkeypatch.chdir(workspace)
    trained = model.load("pneumonia", reading.params("params.yaml"))
    model.write(model.RELEASED, trained)
    released = model.load(None, reading.params("params.yaml"))
    images = np.array(splits["test"].images[:20])
    for one, other in zip(trained.answers(images), released.answers(images)):
        assert one["probability"] == other["probability"] and one["decision"] == other["decision"]
        ranks = (row["out_of_distribution_percentile"] for row in (one, other))
        assert abs(np.subtract(*ranks)) < 1, "stored in single precision"
    assert (released.threshold, released.share) == (trained.threshold, trained.share)
    assert np.array_equal(released.known_hashes, trained.known_hashes)
    assert released.notice == trained.notice.replace("run pneumonia", "released model")
    held = b"".join(path.read_bytes() for path in model.RELEASED.iterdir())
    assert not any(image.tobytes()[:200] in held for image in splits["train"].images[:50])
