"""The training loop: what is frozen, which weights are kept, and that it learns."""

import numpy as np
import pytest
import torch
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from chestflow.errors import UserError
from chestflow.models.cnn import Classifier
from chestflow.models.inference import embeddings, probabilities, standardise
from chestflow.training import batches, classifier, freezing, linear_probe, losses
from chestflow.training.averaging import WeightAverage

# What most tests train with; averaged weights have tests of their own.
PLAIN = {"schedule": "onecycle", "keep": "best", "min_delta": 0.002, "contrast": "global"}
PLAIN |= {"augment": ["move", "expose"], "label_smoothing": 0.0}
PLAIN |= {"steps": 10, "patience": 2, "batch_size": 64}
EPOCH = 5  # steps, here
PARTS = ("head", "encoder.2", "encoder.1", "encoder.0")
PROBE = freezing.LINEAR_PROBE
LAYERED = {"lr": 0.01, "lr_factor": 0.1, "layer_decay": 0.5}


@pytest.fixture(scope="module")
def phases_of(settings):
    return lambda strategy: freezing.phases(settings(strategy=strategy, **LAYERED))


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch) -> None:
    monkeypatch.setattr(classifier, "EPOCH", EPOCH)


@pytest.fixture(scope="module")
def images(splits) -> dict[str, batches.Samples]:
    device = torch.device("cpu")
    return {name: batches.Samples.to(device, split) for name, split in splits.items()}


@pytest.fixture(scope="module")
def fit(images, settings):
    """Start a training: returns the model and the iterator of its rows."""

    def start(strategy="unfrozen", seed=0, train=images["train"], **changes):
        chosen = settings(**PLAIN | LAYERED | {"strategy": strategy} | changes)
        torch.manual_seed(seed)
        model = Classifier(**chosen.architecture)
        return model, classifier.fit(model, train, images["val"], chosen, seed)

    return start


@pytest.fixture(scope="module")
def validate(images):
    """The scores of a model that training wrote in its row."""
    balanced = nn.CrossEntropyLoss(losses.class_weights(images["train"].labels))
    return lambda model: losses.validate(model, images["val"], balanced)


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def changed(before: dict, after: dict) -> set[str]:
    """The parts of the network, `head` or `encoder.0` ..., of which any bit is different."""
    keys = {key for key in before if not torch.equal(before[key], after[key])}
    return {".".join(key.split(".")[: 2 if key.startswith("encoder") else 1]) for key in keys}


def test_phases_of_each_strategy(phases_of):
    assert phases_of("unfrozen") == [dict.fromkeys(PARTS, 0.01)]
    assert phases_of("frozen") == [PROBE]
    careful = dict(zip(PARTS, (1e-3, 5e-4, 2.5e-4, 1.25e-4)))
    assert phases_of("headfirst") == [PROBE, pytest.approx(careful)]


def test_frozen_trains_66_parameters_and_the_others_all(phases_of):
    strategies = ("frozen", "unfrozen", "headfirst")
    n = [freezing.trainable_parameters(Classifier(), phases_of(s)) for s in strategies]
    assert n == [66, 18_218, 18_218]


@pytest.mark.parametrize("strategy", ["frozen", "headfirst"])
@pytest.mark.parametrize("keep", ["last", "average"])
def test_only_the_parts_of_a_phase_change(fit, phases_of, strategy, keep):
    """Bit for bit, batch-norm statistics included."""
    model, rows = fit(strategy, keep=keep, dropout=0.2)
    before = state(model)
    for row in rows:
        after = state(model)
        assert changed(before, after) == set(phases_of(strategy)[row["phase"] - 1])
        before = after
    assert row["phase"] == len(phases_of(strategy))


@pytest.mark.parametrize(
    ("strategy", "n", "expected"),
    [
        ("unfrozen", 300, [1, 1, 1]),
        ("unfrozen", 20, [1, 1, 1]),  # few labels get as many steps as many
        ("headfirst", 300, [1, 2, 2, 2]),  # its second phase is as long as full fine-tuning
        ("frozen", 300, [1]),
    ],
)
def test_trainings_have_equal_steps_whatever_the_strategy_and_the_number_of_labels(
    fit, images, monkeypatch, strategy, n, expected
):
    taken = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: (taken.append(1), step(self)))
    some = batches.Samples(images["train"].images[:n], images["train"].labels[:n])
    rows = list(fit(strategy, train=some, steps=13, keep="last")[1])
    assert [row["phase"] for row in rows] == expected
    assert len(taken) == (0 if strategy == "frozen" else 13)


def test_the_linear_probe_is_logistic_regression_on_the_embeddings(fit, images):
    """Scikit-learn's own, which is not told of the network."""
    model, rows = fit("frozen", augment=[])
    list(rows)
    train, val = images["train"], images["val"]
    known, unseen = (embeddings(model, s.images.numpy(), torch.device("cpu")) for s in (train, val))
    scores = probabilities(model.eval(), val.images)
    peers = [
        make_pipeline(StandardScaler(), LogisticRegression(C=c, class_weight="balanced"))
        .fit(known, train.labels)
        .predict_proba(unseen)[:, 1]
        for c in linear_probe.PENALTIES
    ]
    assert min(np.abs(scores - peer).max() for peer in peers) < 1e-3
    best = max(metrics.roc_auc_score(val.labels, peer) for peer in peers)
    assert metrics.roc_auc_score(val.labels, scores) == pytest.approx(best, abs=1e-6)


def test_each_part_is_trained_at_its_rate(fit):
    """Adam's first step moves a weight by its learning rate, whatever the gradient."""
    once = {"steps": 1, "batch_size": 300, "schedule": "constant", "weight_decay": 0.0}
    rates = {"lr": 0.02, "lr_factor": 0.5, "layer_decay": 0.2}
    model, rows = fit("headfirst", keep="last", **once, **rates)
    next(rows)  # of the linear probe
    before = state(model)
    (row,) = rows
    for part, rate in zip(PARTS, (0.01, 0.002, 0.0004, 0.00008)):
        moved = [
            (before[f"{part}.{name}"] - value.detach()).abs().max().item()
            for name, value in model.get_submodule(part).named_parameters()
        ]
        assert max(moved) == pytest.approx(rate, rel=0.02)
    assert row["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize(("keep", "epochs"), [("best", 15), ("last", 7)])
def test_the_kept_weights_are_those_of_the_last_improved_row(fit, validate, keep, epochs):
    model, rows = fit(keep=keep, steps=epochs * EPOCH, patience=2, schedule="constant")
    rows = list(rows)
    kept = [row for row in rows if row["improved"]][-1]
    scores, highest = validate(model), max(row["val_auroc"] for row in rows)
    assert scores == {key: kept[key] for key in scores}
    if keep == "best":
        assert kept == rows[-3] and len(rows) < epochs, "or this shows nothing"
        assert kept["val_auroc"] > highest - 2 * 0.002
    else:
        assert kept == rows[epochs - 1] and kept["val_auroc"] < highest


def test_the_average_covers_the_tail_and_includes_the_last_weights():
    part = nn.Linear(1, 1, bias=False)
    average = WeightAverage(part, {"part": part}, steps=20)
    for step in range(1, 21):
        part.weight.data.fill_(step)
        average.update(part)
    assert average.mean.module.weight.item() == (14 + 20) / 2  # every sixth step of the last 7


def test_averaged_weights_get_batch_norm_statistics_of_their_own(fit, images, validate):
    model, rows = fit(keep="average", augment=[], steps=20, schedule="plateau")
    *_, last = rows
    scores = validate(model)
    assert scores == {key: last[key] for key in scores}, "the last row describes what stays"
    block = model.encoder[0]
    seen = block.conv1(standardise(images["train"].images)).detach()
    mean, variance = seen.mean((0, 2, 3)).numpy(), seen.var((0, 2, 3)).numpy()
    assert block.norm1.running_mean.numpy() == pytest.approx(mean, abs=1e-4)
    assert block.norm1.running_var.numpy() == pytest.approx(variance, rel=1e-3)


@pytest.mark.parametrize("keep", ["best", "last", "average"])
def test_a_diverged_training_is_a_user_error(fit, monkeypatch, keep):
    monkeypatch.setattr(classifier, "phases", lambda _: [dict.fromkeys(PARTS, 1e30)])
    with pytest.raises(UserError, match=r"training diverged.*lower lr"):
        list(fit(schedule="constant", keep=keep)[1])


def test_the_plateau_schedule_rises_falls_and_levels_off():
    rates = [classifier.plateau(i / 1000) for i in range(1001)]
    assert rates[0] == pytest.approx(0.04) and max(rates) == rates[150] == pytest.approx(1)
    assert rates[:151] == sorted(rates[:151]) and rates[150:] == sorted(rates[150:], reverse=True)
    assert rates[650:] == pytest.approx([0.3] * 351)
    assert rates[400] == pytest.approx(0.65)  # half way down


def test_class_weights_and_smoothing_change_training_but_not_validation(fit, validate):
    """Or the sweep would rank trainings by different losses."""
    plain = next(fit(steps=EPOCH)[1])
    for changes in ({"label_smoothing": 0.4}, {"class_weights": False}):
        model, rows = fit(steps=EPOCH, **changes)
        row = next(rows)
        assert row["train_loss"] != plain["train_loss"]
        assert row["val_loss"] == validate(model)["val_loss"]


def test_weights_depend_on_the_seed_alone(fit):
    trainings = []
    for seed in (3, 3, 4):
        model, rows = fit(seed=seed, dropout=0.1)
        torch.manual_seed(0)  # dropout draws from torch's own generator, which the stage seeds
        trainings.append((list(rows), state(model)))
    (rows, weights), (same_rows, same_weights), (other_rows, other_weights) = trainings
    assert rows == same_rows != other_rows
    assert not changed(weights, same_weights) and changed(weights, other_weights)


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_network_learns_from_labels_and_nothing_from_shuffled_ones(fit, images, shuffled):
    train, test, steps = images["train"], images["test"], 20 if shuffled else 60
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    labels = train.labels[order] if shuffled else train.labels
    model, rows = fit(train=batches.Samples(train.images, labels), steps=steps, patience=steps)
    losses = [row["train_loss"] for row in rows]
    auroc = metrics.roc_auc_score(test.labels, probabilities(model.eval(), test.images))
    assert abs(auroc - 0.5) < 0.25 if shuffled else auroc > 0.7
    assert losses[-1] < losses[0]
