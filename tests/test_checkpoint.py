"""Networks in files, and an encoder carried over: completely or not at all."""

import pytest
import torch
from torch import nn

from chestflow.errors import UserError
from chestflow.models import checkpoint
from chestflow.models.autoencoder import Autoencoder
from chestflow.models.cnn import Classifier
from stages.configure import write_scratch

ARCHITECTURE = {"width": 8, "blocks": 3, "dropout": 0.0, "contrast": "global"}


def classifier(seed: int = 1, **changes) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(**ARCHITECTURE | changes)


def copied(model: nn.Module) -> dict:
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(one: dict, two: dict) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_a_saved_network_is_rebuilt_from_its_file(tmp_path):
    changes = {"width": 4, "blocks": 2, "dropout": 0.3, "contrast": "local"}
    about, model = {"run": "a", "architecture": changes}, classifier(**changes)
    checkpoint.save(tmp_path / "new/folder", model, about)
    assert checkpoint.read(tmp_path / "new/folder")[1] == about
    loaded = checkpoint.load_classifier(tmp_path / "new/folder")
    assert same(loaded.state_dict(), model.state_dict())
    assert (loaded.dropout.p, loaded.contrast, loaded.training) == (0.3, "local", False)


def test_same_weights_same_bytes_also_in_the_memory_layout_of_training(tmp_path):
    trained = classifier().to(memory_format=torch.channels_last)
    for folder, model in (("a", classifier()), ("b", trained), ("c", classifier(seed=2))):
        checkpoint.save(tmp_path / folder, model, {"run": "x"})
    one, two, other = (checkpoint.digest(tmp_path / folder) for folder in "abc")
    assert one == two != other


def test_a_file_that_is_damaged_or_of_another_network_is_refused_in_one_line(tmp_path):
    autoencoder = Autoencoder(8, 3, "global", 28, code=16, dropout=0.0)
    checkpoint.save(tmp_path, autoencoder, {"architecture": {"width": 8, "blocks": 3}})
    with pytest.raises(UserError, match=r"holds another network[^\n]*$"):
        checkpoint.load_classifier(tmp_path)
    path = tmp_path / checkpoint.FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model.safetensors is damaged[^\n]*$"):
        checkpoint.load_classifier(tmp_path)


@pytest.mark.parametrize(
    "donor", [classifier(), Autoencoder(8, 3, "global", 28, code=16, dropout=0.0)]
)
def test_the_whole_encoder_is_carried_over_but_not_the_head(donor):
    donor(torch.randn(4, 1, 28, 28))  # batch-norm statistics of its own
    model, before = classifier(seed=2), copied(donor)
    head = copied(model.head)
    checkpoint.load_encoder(model, donor.state_dict())
    assert same(donor.encoder.state_dict(), model.encoder.state_dict())
    assert same(head, model.head.state_dict())
    nn.init.zeros_(model.encoder[0].conv1.weight)
    assert same(before, donor.state_dict()), "weights are shared, not copied"


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (Classifier(width=4), r"size mismatch"),
        (Classifier(blocks=2), r"[Mm]issing key.*2\.conv1\.weight"),
        (Classifier(blocks=4), r"[Uu]nexpected key.*3\.conv1\.weight"),
    ],
    ids=["width", "fewer blocks", "more blocks"],
)
def test_an_encoder_that_does_not_fit_is_refused_in_one_line(other, named):
    with pytest.raises(UserError, match=rf"^.*{named}.*same width and blocks$"):
        checkpoint.load_encoder(classifier(), other.state_dict())


def test_the_empty_start_holds_no_weights_and_changes_nothing(tmp_path):
    write_scratch(tmp_path)
    weights, _ = checkpoint.read_start(tmp_path, 2)
    assert checkpoint.load_start(tmp_path, 2) is None
    model = classifier()
    checkpoint.load_encoder(model, weights)
    assert same(model.state_dict(), classifier().state_dict())
