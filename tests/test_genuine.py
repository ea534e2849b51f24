"""With the genuine PneumoniaMNIST, where available."""

from pathlib import Path

import pytest
import torch
from sklearn.metrics import roc_auc_score

from chestflow.data import arrays
from chestflow.models.cnn import Classifier
from chestflow.models.inference import probabilities
from chestflow.training import batches, classifier
from stages.binarize import binarize

ROOT = Path(__file__).parents[1]
GENUINE = ROOT.parent / "shared/medmnist/pneumoniamnist.npz"

pytestmark = pytest.mark.skipif(not GENUINE.exists(), reason="needs the genuine PneumoniaMNIST")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("genuine")
    places = {"archive": GENUINE, "out": folder / "images", "metrics": folder / "metrics.json"}
    binarize("pneumoniamnist", ROOT / "datasets.yaml", **places, pixels=28)
    return folder


def test_three_epochs_are_enough_to_detect_pneumonia(folder, settings):
    torch.manual_seed(0)
    model, device = Classifier(), torch.device("cpu")
    train, val, test = (
        batches.Samples.to(device, arrays.read(folder / "images", name)) for name in arrays.SPLITS
    )
    some = batches.Samples(train.images[:1500], train.labels[:1500])
    rows = list(classifier.fit(model, some, val, settings(steps=110), seed=0))
    assert roc_auc_score(test.labels, probabilities(model.eval(), test.images)) > 0.9
    assert rows[-1]["val_auroc"] > 0.95
