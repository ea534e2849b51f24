"""With the genuine PneumoniaMNIST, where available: the network learns, nothing is a phantom."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from chestflow.data import arrays, captions
from chestflow.metrics.intervals import auroc
from chestflow.models.cnn import Classifier
from chestflow.models.inference import probabilities
from chestflow.plots import classes
from chestflow.plots.style import save
from chestflow.training import batches, classifier, freezing
from stages.binarize import binarize

ROOT = Path(__file__).parents[1]
GENUINE = ROOT.parent / "shared/medmnist/pneumoniamnist.npz"

pytestmark = pytest.mark.skipif(not GENUINE.exists(), reason="needs the genuine PneumoniaMNIST")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("genuine")
    binarize(
        "pneumoniamnist",
        ROOT / "datasets.yaml",
        archive=GENUINE,
        out=folder / "images",
        metrics=folder / "metrics.json",
        pixels=28,
    )
    return folder


def test_images_are_counted_and_not_called_a_phantom(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    about = captions.of_folder(folder / "images", "PneumoniaMNIST", "pneumonia")
    assert metrics["data"] == "PneumoniaMNIST" == about.caption and not about.is_phantom
    assert metrics["classes"] == ["healthy", "pneumonia"]
    assert metrics["n"] == 624
    assert metrics["prevalence"] == metrics["majority_accuracy"] == 0.625
    figure = classes.class_counts(metrics, captions.of_report(metrics))
    assert figure.get_suptitle() == "Classes of PneumoniaMNIST"
    save(figure, folder / "classes.png")
    assert (folder / "classes.png").stat().st_size > 1000
    test = arrays.read(folder / "images", "test")
    assert test.masks is None and test.labels.sum() == 390


def test_three_epochs_are_enough_to_detect_pneumonia(folder, settings):
    torch.manual_seed(0)
    model, device = Classifier(), torch.device("cpu")
    images = {
        name: batches.Samples.to(device, arrays.read(folder / "images", name))
        for name in arrays.SPLITS
    }
    plan = freezing.phases("unfrozen", 3, 0.01, 0.3, 0.6)
    rows = list(
        classifier.fit(model, images["train"], images["val"], settings(epochs=3), plan, seed=0)
    )
    score = auroc(
        np.array(images["test"].labels), probabilities(model.eval(), images["test"].images)[None]
    )
    assert score.values[0] > 0.9
    assert rows[-1]["val_auroc"] > 0.95
