"""On the genuine PneumoniaMNIST, where it is at hand: it learns, and nothing is a phantom."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.binarize import binarize
from stages.lib import data, parameters, training
from stages.lib.model import Classifier, probabilities
from stages.lib.resampling import auroc

ROOT = Path(__file__).parents[1]
GENUINE = ROOT.parent / "shared/medmnist/pneumoniamnist.npz"

pytestmark = pytest.mark.skipif(not GENUINE.exists(), reason="needs the genuine PneumoniaMNIST")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("genuine")
    params = parameters.load(ROOT / "params.yaml")
    binarize(
        "pneumoniamnist",
        params,
        archive=GENUINE,
        out=folder / "films",
        metrics=folder / "metrics.json",
        plot=folder / "classes.png",
    )
    return folder


def test_films_are_counted_and_not_called_a_phantom(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["data"] == "PneumoniaMNIST" == data.read_about(folder / "films").caption()
    assert metrics["n"] == 624
    assert metrics["prevalence"] == metrics["majority_accuracy"] == 0.625
    assert (folder / "classes.png").stat().st_size > 1000
    test = data.read(folder / "films", "test")
    assert test.masks is None and test.labels.sum() == 390


def test_three_epochs_tell_pneumonia(folder, settings):
    torch.manual_seed(0)
    model, device = Classifier(), torch.device("cpu")
    films = {
        name: training.Films.to(device, data.read(folder / "films", name)) for name in data.SPLITS
    }
    plan = training.phases("unfrozen", 3, 0.01, 0.3, 0.6)
    rows = list(training.fit(model, films["train"], films["val"], settings(epochs=3), plan, seed=0))
    score = auroc(np.array(films["test"].labels), probabilities(model.eval(), films["test"].images))
    assert score[0] > 0.9
    assert rows[-1]["val_auroc"] > 0.95
